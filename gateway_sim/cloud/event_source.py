"""Lambda's event source: takes batches from the queue, runs the handler, deletes what succeeded."""

from __future__ import annotations

import asyncio
import importlib
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from gateway_sim.cloud.counters import Counters
from gateway_sim.cloud.stack import Function
from gateway_sim.cloud.template import Unsupported

Handler = Callable[[dict[str, Any], object], dict[str, Any] | None]

CONCURRENCY: Final = 4  # handlers at once; AWS begins with five pollers
MAX_MESSAGES: Final = 10  # SQS ReceiveMessage, DeleteMessageBatch
LONG_POLL_S: Final = 20  # SQS's longest


def load(function: Function) -> Handler:
    """The function's handler, imported by name as Lambda does; raises Unsupported where it lies elsewhere."""
    module_name, _, name = function.handler.rpartition(".")
    module = importlib.import_module(module_name)
    if function.code not in Path(str(module.__file__)).resolve().parents:
        raise Unsupported(f"{function.handler} was imported from {module.__file__}, not from {function.code}")
    handler: Handler = getattr(module, name)
    return handler


class EventSource:
    """Polls until cancelled. While paused nothing is taken from the queue, and what was is held back.

    `sqs` is boto3's client (untyped).
    """

    def __init__(
        self, function: Function, handler: Handler, sqs: Any, queue_url: str, counters: Counters
    ) -> None:
        self._function, self._handler, self._counters = function, handler, counters
        self._sqs, self._queue_url = sqs, queue_url
        self._running = asyncio.Event()
        self._running.set()

    def pause(self) -> None:
        """Handlers that run already finish."""
        self._running.clear()

    def resume(self) -> None:
        self._running.set()

    async def run(self) -> None:
        slots = asyncio.Semaphore(CONCURRENCY)
        threads = ThreadPoolExecutor(CONCURRENCY, thread_name_prefix="handler")
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    await self._running.wait()
                    batch = await asyncio.to_thread(self._collect)
                    await self._running.wait()
                    if batch:
                        await slots.acquire()
                        done = asyncio.get_running_loop().run_in_executor(threads, self._invoke, batch)
                        task = group.create_task(_count(self._counters, done), name="handler")
                        task.add_done_callback(lambda _: slots.release())
        finally:
            # A handler cut off from its tables would retry for many seconds; left alone it takes one.
            await asyncio.to_thread(threads.shutdown, cancel_futures=True)

    def _collect(self) -> list[dict[str, Any]]:
        """Up to batch_size messages, waiting window_s for more once there is one."""
        batch = self._receive(LONG_POLL_S, self._function.batch_size)
        end = time.monotonic() + self._function.window_s
        while batch and len(batch) < self._function.batch_size and time.monotonic() < end:
            batch += self._receive(1, self._function.batch_size - len(batch))  # SQS waits in whole seconds
        return batch

    def _receive(self, wait_s: int, limit: int) -> list[dict[str, Any]]:
        answer = self._sqs.receive_message(
            QueueUrl=self._queue_url,
            MaxNumberOfMessages=min(MAX_MESSAGES, limit),
            WaitTimeSeconds=wait_s,
            AttributeNames=["All"],
        )
        found: list[dict[str, Any]] = answer.get("Messages", [])
        return found

    def _invoke(self, batch: Sequence[dict[str, Any]]) -> tuple[int, int, int]:
        """Run the handler on a batch; returns how many messages there were, came again, and failed."""
        arn = f"arn:aws:sqs:eu-central-1:123456789012:{self._function.queue}"
        records = [_record(message, arn) for message in batch]
        try:
            answer = self._handler({"Records": records}, None)
        except Exception:  # noqa: BLE001 Lambda's boundary: the batch stays in the queue
            traceback.print_exc()
            failed = {message["MessageId"] for message in batch}
        else:
            items = (answer or {}).get("batchItemFailures", []) if self._function.partial_responses else []
            failed = {item["itemIdentifier"] for item in items}
        handled = [message for message in batch if message["MessageId"] not in failed]
        for start in range(0, len(handled), MAX_MESSAGES):
            part = handled[start : start + MAX_MESSAGES]
            entries = [{"Id": str(i), "ReceiptHandle": m["ReceiptHandle"]} for i, m in enumerate(part)]
            self._sqs.delete_message_batch(QueueUrl=self._queue_url, Entries=entries)
        again = sum(int(message["Attributes"]["ApproximateReceiveCount"]) > 1 for message in batch)
        return len(batch), again, len(failed)


async def _count(counters: Counters, done: asyncio.Future[tuple[int, int, int]]) -> None:
    records, again, failed = await done
    counters.batches += 1
    counters.records += records
    counters.redeliveries += again
    counters.failed += failed


def _record(message: dict[str, Any], arn: str) -> dict[str, Any]:
    """An SQS event record (AWS Lambda developer guide, "Using Lambda with Amazon SQS")."""
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message["Attributes"],
        "messageAttributes": {},
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": arn,
        "awsRegion": arn.split(":")[3],
    }

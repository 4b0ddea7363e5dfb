"""The server that the peer believes in: answers its question about limits, and counts what it delivers.

    python -m bench._peer_cloud PORT

Subscribes at the broker on that port of loopback. Writes `ready` and, for each line on standard input,
`{"values": n, "messages": n, "bytes": n}`. The gateway is silent until its getSessionLimits is answered.
"""

from __future__ import annotations

import asyncio
import json
import sys

import aiomqtt

REQUESTS, REPLIES = "v1/devices/me/rpc/request/", "v1/devices/me/rpc/response/"
TELEMETRY = "v1/gateway/telemetry"
LIMITS = {"maxPayloadSize": 65_536, "maxInflightMessages": 100, "rateLimits": {}}
"""No limits: what is measured is what it costs, not how it is throttled."""


class _Counts:
    values = messages = size_bytes = 0


async def _listen(client: aiomqtt.Client, counts: _Counts) -> None:
    async for message in client.messages:
        topic, payload = message.topic.value, message.payload
        if not isinstance(payload, bytes):
            continue
        if topic.startswith(REQUESTS):
            await client.publish(REPLIES + topic.removeprefix(REQUESTS), json.dumps(LIMITS), qos=1)
            continue
        counts.messages += 1
        counts.size_bytes += len(payload) + len(topic)
        for rows in json.loads(payload).values():
            counts.values += sum(len(row["values"]) for row in rows)


async def _run(port: int) -> None:
    counts = _Counts()
    async with aiomqtt.Client("127.0.0.1", port) as client, asyncio.TaskGroup() as group:
        await client.subscribe(f"{REQUESTS}+", qos=1)
        await client.subscribe(TELEMETRY, qos=1)
        listening = group.create_task(_listen(client, counts))
        print("ready", flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            found = {"values": counts.values, "messages": counts.messages, "bytes": counts.size_bytes}
            print(json.dumps(found), flush=True)
        listening.cancel()


if __name__ == "__main__":
    asyncio.run(_run(int(sys.argv[1])))

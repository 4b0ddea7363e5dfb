"""The pure middle of ingest: what a queued message is, and what an acknowledgement says."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from headgate_cloud import compact, decoder
from headgate_cloud.decoder import Envelope, Header, Undecodable

# AWS IoT Core quota "Message size" (facts: AWS general reference, IoT Core endpoints and quotas).
MAX_BODY_BYTES: Final = 128 * 1024
MAX_RANGES: Final = 32  # docs/wire.md, acknowledgement
# Bounds a batch's reading where much is stored beyond a gap; what is not read is acknowledged once it fills.
MAX_READ: Final = 4096
CODECS: Final = ("json", "compact")
MAX_WANTED: Final = 32
MAX_ACKS: Final = 32
UNIT_BYTES: Final = 5_120  # what AWS IoT Core meters as one message, its topic included
_FRAME_BYTES: Final = 180  # of version 2 around its acknowledgements, and the topic
_THING: Final = re.compile(r"[A-Za-z0-9:_-]{1,128}")  # AWS IoT CreateThing, thingName
_RULE_FIELDS: Final = ("body", "thing", "stream", "codec", "client", "received_ms")


@dataclass(frozen=True, slots=True)
class Rejection:
    """Bytes that will never be an accepted envelope, kept as they came, with the reason.

    `code` is what is counted: undecodable, conflict, or sender (a thing that spoke for another).
    """

    topic: str
    body: bytes
    why: str
    received_ms: int
    code: str = "undecodable"

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.body).hexdigest()


@dataclass(frozen=True, slots=True)
class Arrival:
    """An envelope whose key could be read. With a `flaw` its payload could not: it is kept, marked, and
    acknowledged all the same, because a gateway would otherwise send it again for ever."""

    thing: str
    codec: str
    body: bytes
    digest: str
    received_ms: int
    header: Header
    flaw: str | None = None
    envelope: Envelope | None = None  # None with a flaw, or while a schema of codec compact is not known
    schemas: tuple[str, ...] = ()

    @property
    def stream_key(self) -> str:
        return f"{self.thing}/{self.header.stream}/{self.header.epoch}"

    @property
    def waits(self) -> bool:
        """For a schema: it is sound as far as can be told, and not decoded."""
        return bool(self.schemas) and self.envelope is None and self.flaw is None

    @property
    def topic(self) -> str:
        return f"hg/v1/{self.thing}/up/{self.header.stream}/{self.codec}"

    def rejected(self, why: str, code: str = "undecodable") -> Rejection:
        return Rejection(self.topic, self.body, why, self.received_ms, code)


def read(message: str, now_ms: int) -> Arrival | Rejection:
    """One queued message: the object that the rule's SQL selects, as JSON."""
    try:
        found = json.loads(message)
        body = base64.b64decode(found["body"], validate=True)
        thing, stream, codec, client = (str(found[name]) for name in ("thing", "stream", "codec", "client"))
        received_ms = int(found["received_ms"])
    except (ValueError, KeyError, TypeError) as error:
        fault = f"not what the rule selects ({', '.join(_RULE_FIELDS)}): {type(error).__name__} {error}"
        return Rejection("", message.encode("utf-8", "replace")[:MAX_BODY_BYTES], fault, now_ms)
    topic = f"hg/v1/{thing}/up/{stream}/{codec}"
    why = _refuse_topic(thing, codec) or _refuse_size(body)
    if why is not None:
        return Rejection(topic, body[:MAX_BODY_BYTES], why, received_ms)
    if not speaks_for(client, thing):
        why = f"sent by the client {client[:140]!r}, which is not {thing}"
        return Rejection(topic, body, why, received_ms, "sender")
    schemas: tuple[str, ...] = ()
    try:
        if codec == "compact":
            head, schemas = compact.header(body)
        else:
            head = decoder.header(body)
    except Undecodable as error:
        return Rejection(topic, body, f"undecodable: {error}", received_ms)
    if head.stream != stream:
        return Rejection(
            topic, body, f"the header's stream is {head.stream}, the topic's {stream}", received_ms
        )
    flaw, envelope = None, None
    try:
        if codec == "json":  # the other needs a schema, which may come later; its checksum was right
            envelope = decoder.decode(body)
    except Undecodable as error:
        flaw = f"undecodable: {error}"
    digest = hashlib.sha256(body).hexdigest()
    return Arrival(thing, codec, body, digest, received_ms, head, flaw, envelope, schemas)


def speaks_for(client: str, thing: str) -> bool:
    """Whether a client id is the thing's: its name, or one of a nucleus's further connections (`<thing>#2`).

    The policy in template.yaml ties a client id to the certificate's thing, and a topic to the same; this
    holds where an account's other policies are wider. What was not sent over MQTT has the client id `n/a`.
    """
    name, mark, number = client.partition("#")
    return name == thing and (not mark or number.isdecimal())


def _refuse_topic(thing: str, codec: str) -> str | None:
    if not _THING.fullmatch(thing):
        return f"{thing[:140]!r} cannot be a thing's name ({_THING.pattern})"
    return None if codec in CODECS else f"codec {codec[:64]!r} is none of {', '.join(CODECS)}"


def _refuse_size(body: bytes) -> str | None:
    return f"{len(body)} B is more than {MAX_BODY_BYTES}" if len(body) > MAX_BODY_BYTES else None


@dataclass(frozen=True, slots=True)
class Progress:
    """Everything up to `up_to` is stored, and the `received` ranges (both ends included) beyond it."""

    up_to: int
    received: tuple[tuple[int, int], ...] = ()

    @property
    def gaps(self) -> int:
        """A gap ends where a range begins."""
        return len(self.received)

    @property
    def missing(self) -> int:
        """Envelopes absent below the highest known seq."""
        if not self.received:
            return 0
        return self.received[-1][1] - self.up_to - sum(last - first + 1 for first, last in self.received)


def progress(up_to: int, seqs: Iterable[int]) -> Progress:
    """What is stored, from a known `up_to` and the stored seqs above it, ascending.

    Reads `seqs` no further than the 32 ranges that an acknowledgement can name, and at most MAX_READ.
    """
    ranges: list[tuple[int, int]] = []
    for seq in itertools.islice(seqs, MAX_READ):
        if seq <= up_to:
            continue
        if not ranges and seq == up_to + 1:
            up_to = seq
        elif ranges and seq == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], seq)
        elif len(ranges) == MAX_RANGES:
            break
        else:
            ranges.append((seq, seq))
    return Progress(up_to, tuple(ranges))


Ack = Mapping[str, object]
"""What is said of one stream."""


def acknowledgement(
    stream: str, epoch: str, reached: Progress, *, want: Iterable[str] = (), forked: str = ""
) -> Ack:
    """`want`: schemas that are not there. `forked`: why the epoch is a fork."""
    ack: dict[str, object] = {"stream": stream, "epoch": epoch, "up_to": reached.up_to}
    ack["received"] = reached.received
    if wanted := list(want)[:MAX_WANTED]:
        ack["want"] = wanted
    if forked:
        ack["forked"] = forked
    return ack


def payloads(acks: Sequence[Ack], *, together: bool) -> list[bytes]:
    """The messages on `hg/v1/{thing}/dn/ack` that say it of one gateway.

    Of one stream version 1 (schemas/ack.v1.json), which is shorter and which every hub reads; of more of them
    version 2 (schemas/ack.v2.json), as many in one message as AWS meters as one, unless not `together`.
    """
    texts = [json.dumps(ack, separators=(",", ":")) for ack in acks]
    if len(texts) == 1 or not together:
        return [('{"v":1,' + text[1:]).encode() for text in texts]
    found: list[list[str]] = []
    size = UNIT_BYTES
    for text in texts:
        size += len(text) + 1  # all ASCII
        if size > UNIT_BYTES or len(found[-1]) == MAX_ACKS:
            found.append([])
            size = _FRAME_BYTES + len(text)
        found[-1].append(text)
    return [f'{{"v":2,"acks":[{",".join(some)}]}}'.encode() for some in found]

"""The accepted site document in the state root: written there by the hub, read there by the bridges."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from headgate.config.stateroot import StateRoot, write_atomically
from headgate.errors import Reject


@dataclass(frozen=True, slots=True)
class Accepted:
    """The document in force: its SHA-256 in hex and its text."""

    digest: str
    text: bytes


def read_accepted(root: StateRoot) -> Accepted | None:
    """The document in force, or None when none was accepted yet. Raises Reject when it is damaged."""
    try:
        digest = root.current.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Reject(f"{root.current}: {error.strerror}") from error
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise Reject(f"{root.current}: {digest[:80]!r} is no SHA-256; remove the file and restart the hub")
    try:
        text = (root.config / digest).read_bytes()
    except OSError as error:
        raise Reject(
            f"{root.config / digest}: {error.strerror}, though it is the document in force"
        ) from error
    if hashlib.sha256(text).hexdigest() != digest:
        raise Reject(f"{root.config / digest}: its content is not what its name says; restart the hub")
    return Accepted(digest, text)


def store_accepted(root: StateRoot, text: bytes) -> Accepted:
    """Make a document that was checked the one in force, durably. Raises OSError."""
    digest = hashlib.sha256(text).hexdigest()
    write_atomically(root.config / digest, text)
    write_atomically(root.current, digest.encode() + b"\n")
    return Accepted(digest, text)

"""The XML that S3 speaks: answers built from nested tuples, and the one document that is read."""

from __future__ import annotations

import datetime
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from typing import Final

from gateway_sim.cloud.s3.errors import S3Error
from gateway_sim.cloud.s3.store import NamedPart

NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"

DECLARATION: Final = b'<?xml version="1.0" encoding="UTF-8"?>\n'

Child = tuple[str, "str | int | Sequence[Child]"]


def document(name: str, *children: Child) -> bytes:
    """One element of S3's namespace as a whole document."""
    root = ElementTree.Element(name, xmlns=NAMESPACE)
    _fill(root, children)
    return _bytes(root)


def error(fault: S3Error, resource: str) -> bytes:
    root = ElementTree.Element("Error")
    _fill(root, [("Code", fault.code), ("Message", fault.message), ("Resource", resource)])
    return _bytes(root)


def time(t_s: float) -> str:
    return datetime.datetime.fromtimestamp(t_s, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def named_parts(body: bytes) -> list[NamedPart]:
    """CompleteMultipartUpload's document; raises S3Error MalformedXML."""
    try:
        root = ElementTree.fromstring(body)
        parts = root.findall(f"{{{NAMESPACE}}}Part")
        return [
            NamedPart(int(_text(part, "PartNumber")), _text(part, "ETag"), _text(part, "ChecksumSHA256"))
            for part in parts
        ]
    except (ElementTree.ParseError, ValueError) as fault:
        raise S3Error("MalformedXML", f"no list of parts: {fault}") from None


def _text(part: ElementTree.Element, name: str) -> str:
    return part.findtext(f"{{{NAMESPACE}}}{name}") or ""


def _fill(parent: ElementTree.Element, children: Sequence[Child]) -> None:
    for name, value in children:
        child = ElementTree.SubElement(parent, name)
        if isinstance(value, str | int):
            child.text = str(value)
        else:
            _fill(child, value)


def _bytes(root: ElementTree.Element) -> bytes:
    return DECLARATION + ElementTree.tostring(root, encoding="unicode").encode()

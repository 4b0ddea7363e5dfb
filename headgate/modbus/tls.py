"""Modbus Security: our own TLS context with certificates of both sides, and its errors in words."""

from __future__ import annotations

import ssl
from pathlib import Path

from headgate.modbus.transports import Tls

_ALERTS = {
    "CERTIFICATE_REQUIRED": "the device asks for a client certificate and got none",
    "UNKNOWN_CA": "the device does not know the CA of our certificate",
    "CERTIFICATE_EXPIRED": "the device says that our certificate has expired",
    "CERTIFICATE_REVOKED": "the device says that our certificate is revoked",
    "BAD_CERTIFICATE": "the device does not accept our certificate",
    "CERTIFICATE_UNKNOWN": "the device does not accept our certificate",
    "ACCESS_DENIED": "the device gives our certificate no access",
    "HANDSHAKE_FAILURE": "the device and we have no cipher or certificate type in common",
    "PROTOCOL_VERSION": "the device speaks no TLS version from 1.2 on",
    "UNSUPPORTED_PROTOCOL": "the device speaks no TLS version from 1.2 on",
    "WRONG_VERSION_NUMBER": "the device does not speak TLS on this port",
}
"""What an OpenSSL reason ends with, in words."""


def make_context(transport: Tls) -> ssl.SSLContext:
    """A context that verifies the device and proves ourselves. Raises OSError with a message for people."""
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=transport.ca)
    except ssl.SSLError as error:
        raise OSError(f"ca {transport.ca} holds no certificate in PEM") from error
    except OSError as error:
        raise OSError(f"cannot read ca {transport.ca}: {error.strerror}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for name, path in (("cert", transport.cert), ("key", transport.key)):
        try:
            with Path(path).open("rb"):
                pass
        except OSError as error:
            raise OSError(f"cannot read {name} {path}: {error.strerror}") from error
    try:
        # An encrypted key fails here: nobody is there to type a password.
        context.load_cert_chain(transport.cert, transport.key, password=lambda: "")
    except (ssl.SSLError, ValueError) as error:
        what = (
            "do not belong together"
            if "MISMATCH" in str(error)
            else "are not a certificate and its key in PEM"
        )
        raise OSError(f"cert {transport.cert} and key {transport.key} {what}") from error
    return context


def explain(error: BaseException) -> str:
    """An error of a connection in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the device's certificate is refused: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or "").upper().replace(" ", "_")
        for end, words in _ALERTS.items():
            if reason.endswith(end):
                return words
        return f"TLS: {error.reason or error}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)

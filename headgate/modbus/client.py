"""What a line needs of a transport, and what may go wrong on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from headgate.errors import HeadgateError, Retry
from headgate.modbus.tags import Table

if TYPE_CHECKING:
    from headgate.modbus.puts import Put

_EXCEPTIONS = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "device failure",
    5: "acknowledge",
    6: "device busy",
    7: "negative acknowledge",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target did not respond",
}
"""Modbus Application Protocol V1.1b3, chapter 7."""
CONFIGURATION_EXCEPTIONS = frozenset({1, 2, 3})
"""Exception codes that repeat until the site document or the device changes."""
GATEWAY_EXCEPTIONS = frozenset({10, 11})
"""Exception codes with which a gateway says that it is the unit behind it that does not answer."""


class NotConnected(Retry):
    """There is no connection, or it broke."""


class OutOfReach(NotConnected):
    """No connection could be made: nothing is known of the units behind it."""


class NoReply(Retry):
    """The device did not answer in time."""


class WrongReply(Retry):
    """Something answered, but not what was asked."""


class AbsentUnit(Retry):
    """A gateway answered in place of a unit that does not."""


class ExceptionReply(HeadgateError):
    """The device refused the request with a Modbus exception code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exception {code}, {_EXCEPTIONS.get(code, 'unknown')}")
        self.code = code


class Client(Protocol):
    """What a line needs of a transport; one request at a time."""

    @property
    def connected(self) -> bool:
        """Whether a request can be sent."""

    @property
    def heard(self) -> int:
        """How often anything arrived so far: while it stands still, the line is silent."""

    async def connect(self, timeout_s: float) -> None:
        """Open the transport. Raises NotConnected."""

    async def read(
        self, table: Table, unit: int, address: int, count: int, timeout_s: float
    ) -> Sequence[int]:
        """`count` registers, or at least that many bits. Raises NotConnected, NoReply, WrongReply,
        ExceptionReply.
        """

    async def write(self, put: Put, unit: int, timeout_s: float) -> None:
        """Write, and have it confirmed. Raises as `read`; it may be done after NoReply or WrongReply too."""

    def close(self) -> None:
        """Close the transport; it may be opened again."""

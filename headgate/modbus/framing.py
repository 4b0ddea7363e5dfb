"""Frames as we want them of pymodbus: raw PDUs, strict TCP headers, serial frames found amid noise."""

from __future__ import annotations

from binascii import unhexlify
from collections.abc import Callable

from pymodbus.framer import FramerAscii, FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU, ModbusPDU

from headgate.modbus.checks import REFUSED

_MBAP = 6
"""Bytes before what a Modbus TCP header's length counts: transaction id, protocol id, the length itself."""
_LENGTHS = range(3, 255)
"""What that length may be: unit, function code and a byte more, up to a PDU of 253 B (V1.1b3, 4.1)."""
_HEADER, _CRC = 3, 2
"""Bytes of an RTU reply before the data (unit, function code, byte count) and after it."""
_EXCEPTION_SIZE = 5
_LONGEST = 256
"""Bytes of the longest RTU frame (Modbus over Serial Line V1.02, 2.5.1)."""
Measure = Callable[[bytes], int]


class RawReply(ModbusPDU):
    """A reply's PDU as it came; pymodbus adds the unit and the transaction id of its frame."""

    def __init__(self, pdu: bytes) -> None:
        super().__init__()
        self.pdu = pdu


class RawRequest(ModbusPDU):
    """A request whose PDU is there already."""

    def __init__(self, unit: int, function: int, data: bytes) -> None:
        super().__init__(dev_id=unit)
        self.function_code = function
        self.data = data

    def encode(self) -> bytes:
        """What stands behind the function code."""
        return self.data


class RawDecoder(DecodePDU):
    """Leaves PDUs as they are: pymodbus's own decoder takes replies of wrong lengths for good ones."""

    def __init__(self) -> None:
        super().__init__(False)

    def decode(self, frame: bytes) -> ModbusPDU:
        """Wrap a frame's PDU."""
        return RawReply(frame)


class TcpFramer(FramerSocket):
    """Refuses what cannot be a frame at once: behind it nothing in the stream can be trusted."""

    def __init__(self) -> None:
        super().__init__(RawDecoder())

    def decode(self, data: bytes) -> tuple[int, int, int, bytes]:
        """See `FramerBase.decode`: (bytes used, unit, transaction id, PDU); (0, 0, 0, b"") to wait for more.

        ValueError: this is no Modbus TCP.
        """
        if len(data) <= _MBAP:
            return 0, 0, 0, b""
        protocol, length = int.from_bytes(data[2:4], "big"), int.from_bytes(data[4:6], "big")
        if protocol or length not in _LENGTHS:
            raise ValueError(f"no Modbus TCP header: {data[:_MBAP].hex(' ')}")
        end = _MBAP + length
        if len(data) < end:
            return 0, 0, 0, b""
        return end, data[_MBAP], int.from_bytes(data[:2], "big"), data[_MBAP + 1 : end]


class RtuFramer(FramerRTU):
    """Finds the one reply that is waited for, whatever noise lies before or behind it.

    pymodbus's own throws everything away when the first thing that looks like a frame has a wrong checksum,
    and so loses a good reply behind one disturbed byte.
    """

    def __init__(self) -> None:
        super().__init__(RawDecoder())
        self.unit = 0
        self.function = 0
        self.size = 0
        self.counted = True
        self.measure: Measure | None = None

    def expect(
        self, unit: int, function: int, size: int, *, counted: bool = True, measure: Measure | None = None
    ) -> None:
        """Say what the next reply starts with, how many bytes of data it has, and whether it counts them.

        `measure` tells the length of a PDU that alone shows it, from its start; 0 while it does not.
        """
        self.unit, self.function, self.size, self.counted = unit, function, size, counted
        self.measure = measure

    def decode(self, data: bytes) -> tuple[int, int, int, bytes]:
        """See `FramerBase.decode`: (bytes used, unit, 0, PDU); (0, 0, 0, b"") to wait for more."""
        at = data.find(self.unit)
        while at >= 0:
            size = self._frame_size(data[at : at + _LONGEST])
            frame = data[at : at + size]
            if size and len(frame) == size and _sound(frame):
                return at + size, self.unit, 0, frame[1:-_CRC]
            at = data.find(self.unit, at + 1)
        return 0, 0, 0, b""

    def _frame_size(self, header: bytes) -> int:
        """How long a frame that starts like this is; 0 when it is none that is waited for."""
        if len(header) < _HEADER:
            return 0
        if header[1] == self.function | REFUSED:
            return _EXCEPTION_SIZE
        if header[1] == self.function and self.measure is not None:
            size = self.measure(header[1:])
            return 1 + size + _CRC if 0 < size <= _LONGEST - 1 - _CRC else 0
        if header[1] == self.function and not self.counted:
            return _HEADER - 1 + self.size + _CRC
        if header[1] == self.function and header[2] == self.size:
            return _HEADER + self.size + _CRC
        return 0


class AsciiFramer(FramerAscii):
    """Takes hexadecimal digits alone for frames; pymodbus's own takes blanks and signs as well."""

    def __init__(self) -> None:
        super().__init__(RawDecoder())

    def decode(self, data: bytes) -> tuple[int, int, int, bytes]:
        """See `FramerBase.decode`: (bytes used, unit, 0, PDU); (noise, 0, 0, b"") to wait for more."""
        at = 0
        while (end := data.find(self.END, at)) >= 0:
            start = data.rfind(self.START, at, end)  # a colon starts anew, whatever there was before
            at = end + len(self.END)
            if start < 0:
                continue
            try:
                body = unhexlify(data[start + 1 : end])
            except ValueError:
                continue
            if len(body) > 2 and sum(body) & 0xFF == 0:  # the unit, a PDU, and what makes the sum zero
                return at, body[0], 0, body[1:-1]
        return at, 0, 0, b""


def _sound(frame: bytes) -> bool:
    return FramerRTU.check_CRC(frame[:-_CRC], int.from_bytes(frame[-_CRC:], "big"))

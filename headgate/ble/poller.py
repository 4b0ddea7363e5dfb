"""One device that is read: its characteristics become frames at its interval, or bad_comm."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from headgate.ble.config import Device
from headgate.ble.decoders.quantity import Characteristic
from headgate.ble.gatt import Gatt, Reading
from headgate.ble.listener import Notice
from headgate.ble.reporting import Reporting
from headgate.ble.samples import Sample, samples_of
from headgate.ble.staleness import Silence
from headgate.clock import Clock
from headgate.driver import Emit
from headgate.errors import Retry
from headgate.model import Frame, Quality


class Poller:
    """Polls one device until stopped. `indexes` are its tags' places in the driver's series table."""

    def __init__(
        self, device: Device, indexes: Sequence[int], gatt: Gatt, clock: Clock, notice: Notice
    ) -> None:
        self.device = device
        self.fault = ""
        self.missed = 0
        self.connections = 0
        self.failures = 0
        self.silence = Silence(device, indexes, clock.boot_ms())
        self.reporting = Reporting.of(device.report, device.tags, indexes, device.interval_ms)
        self.characteristics = [
            c for c in device.format.characteristics if any(q.tag in device.tags for q in c.quantities)
        ]
        self._indexes = dict(zip(device.tags, indexes, strict=True))
        self._gatt = gatt
        self._clock = clock
        self._notice = notice
        self._task: asyncio.Task[None] | None = None
        self._reading = False
        self._stopping = False

    async def run(self, emit: Emit) -> None:
        """Poll at the interval; a poll that takes longer than it leaves out what it missed."""
        self._task = asyncio.current_task()
        due_ms = self._clock.boot_ms()
        while not self._stopping:
            await self._poll(emit)
            due_ms += self.device.interval_ms
            late_ms = self._clock.boot_ms() - due_ms
            if late_ms > 0:
                skipped = -(-late_ms // self.device.interval_ms)
                self.missed += skipped
                due_ms += skipped * self.device.interval_ms
            if not self._stopping:
                await self._clock.sleep_until(due_ms)

    def stop(self) -> None:
        """End `run`: reads under way finish and are emitted, waiting and connecting are cut short."""
        self._stopping = True
        if self._task is not None and not self._reading:
            self._task.cancel()

    async def fresh(self, tags: Sequence[str]) -> dict[str, Sample | str]:
        """Read some tags before any poll: by tag a sample, or in words why there is none. Raises Retry."""
        wanted = {c.uuid: c for c in self.characteristics if any(q.tag in tags for q in c.quantities)}
        found: dict[str, Sample | str] = {}

        def each(reading: Reading) -> None:
            found.update(_samples(wanted[reading.uuid], reading))

        device = self.device
        await self._gatt.read(
            device.address, list(wanted), device.timeout_s, each, urgent=True, pair=device.pair
        )
        return found

    async def _poll(self, emit: Emit) -> None:
        device = self.device
        asked = {c.uuid: c for c in self.characteristics}
        faults: list[str] = []

        def begin() -> None:
            self._reading = True
            self.connections += 1

        def tell(frame: Frame) -> None:
            thinned = self.reporting.thin(frame)
            if thinned is not None:
                emit(thinned)

        def each(reading: Reading) -> None:
            samples = _samples(asked[reading.uuid], reading)
            series, values, quality = [], [], []
            for tag, index in self._indexes.items():
                sample = samples.get(tag)
                if sample is None:
                    continue
                series.append(index)
                if isinstance(sample, str):
                    faults.append(sample)
                values.append(None if isinstance(sample, str) else sample.value)
                quality.append(int(Quality.BAD_COMM) if isinstance(sample, str) else sample.quality)
            if reading.data is not None and self.silence.heard(reading.boot_ms):
                self.reporting.forget()
            tell(Frame(reading.boot_ms, series, values, quality if any(quality) else ()))

        try:
            await self._gatt.read(
                device.address, list(asked), device.timeout_s, each, begin, pair=device.pair
            )
        except Retry as error:
            faults.append(str(error))
            tell(self.silence.marked(self._clock.boot_ms(), Quality.BAD_COMM))
        finally:
            self._reading = False
        self._tell(faults)

    def _tell(self, faults: list[str]) -> None:
        self.failures += bool(faults)
        if faults and not self.fault:
            self._notice(f"{self.device.name}: {faults[0]}")
        if self.fault and not faults:
            self._notice(f"{self.device.name}: answers again")
        self.fault = faults[0] if faults else ""


def _samples(characteristic: Characteristic, reading: Reading) -> Mapping[str, Sample | str]:
    """By tag what a reading says, or the error that stands in its place."""
    if reading.data is None:
        return {quantity.tag: reading.error for quantity in characteristic.quantities}
    return samples_of(characteristic, reading.data, reading.boot_ms)

"""The checker as one object: look as often as you like, each look reads only what is new."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gateway_sim.ble import blefile
from gateway_sim.checker.arrived import Arrived
from gateway_sim.checker.heard import RadioRecords
from gateway_sim.checker.radio import checks_of, unchecked_of
from gateway_sim.checker.result import Result
from gateway_sim.checker.served import ServedRecords
from gateway_sim.checker.tables import Cloud, IngestTables
from gateway_sim.checker.telemetry import Telemetry
from gateway_sim.checker.windows import Windows
from gateway_sim.devices import plantfile


class Checker:
    """Compares the plant's records, and the radio's where there is one, with the tables of `cloud`.

    Settings of devices are not judged: whoever writes them knows what they hold. `heard` is told of each
    envelope as it is read.

    Raises PlantError or BleError when there is no plant.json or ble.json; `look` raises TablesError when the
    tables cannot be read (what was read until then is kept: look again).
    """

    def __init__(
        self,
        plant_directory: Path,
        cloud: Cloud,
        *,
        ble_directory: Path | None = None,
        thing: str | None = None,
        window_s: int = 10,
        heard: Callable[[Arrived], None] | None = None,
    ) -> None:
        self.plant = plantfile.read(plant_directory)
        self._radio: RadioRecords | None = None
        checks = []
        unchecked = {f"{device.name}/{s.name}" for device in self.plant.devices for s in device.settings}
        if ble_directory is not None:
            radio = blefile.read(ble_directory)
            self._radio = RadioRecords(radio, ble_directory)
            checks, unchecked = list(checks_of(radio)), unchecked | unchecked_of(radio)
        self._window_ms = window_s * 1000
        self._heard = heard
        self._records = ServedRecords(self.plant, plant_directory)
        self._tables = IngestTables(cloud, thing=thing)
        self._telemetry = Telemetry(self.plant, checks, unchecked)
        self._windows = Windows()

    def look(self) -> None:
        """Read what the devices served and what arrived since the last look."""
        # Tables first: what arrived was served before, so the records then hold all that stands behind it.
        for arrived in self._tables.new():
            if self._heard is not None:
                self._heard(arrived)
            self._telemetry.arrive(arrived.columns)
            self._windows.arrive(arrived.windows)
        self._telemetry.serve(self._records.new())
        if self._radio is not None:
            self._telemetry.serve(self._radio.new())

    def excuse(self, since_ms: int, until_ms: int) -> None:
        """See `Telemetry.excuse`."""
        self._telemetry.excuse(since_ms, until_ms)

    @property
    def series(self) -> int:
        """How many series are judged."""
        return len(self._telemetry.places)

    def result(self, since_ms: int, until_ms: int) -> Result:
        """Judge the polls served in [since_ms, until_ms) and the windows that lie whole in it.

        What is still on its way counts as lost (and is never wrong or doubled): let `until_ms` lie far
        enough back, or look again until nothing is lost.
        """
        return Result(
            since_ms,
            until_ms,
            self._telemetry.result(since_ms, until_ms),
            self._windows.result(self._telemetry, self._window_ms, since_ms, until_ms),
            self._tables.summary(),
        )

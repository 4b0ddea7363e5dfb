"""What may be asked for: the files that scans found and that have not changed for long enough. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from headgate.files.config import FilesConfig
from headgate.files.folder import Fingerprint, Found
from headgate.model import file_id


@dataclass(frozen=True, slots=True)
class Offer:
    """A stable file."""

    file_id: str
    source: str
    path: str
    mark: Fingerprint

    @property
    def key(self) -> str:
        """What lists are sorted by, and go on from; a source's name holds no slash."""
        return f"{self.source}/{self.path}"


class Catalogue:
    """Files by id, as the last scan left them."""

    def __init__(self) -> None:
        self.offers: Mapping[str, Offer] = {}
        self.unstable = 0
        self._since: dict[tuple[str, str], tuple[Fingerprint, int]] = {}

    def scanned(
        self, found: Iterable[Found], config: FilesConfig, boot_ms: int, known: Iterable[str] = ()
    ) -> None:
        """Take in a whole scan. Files that are known, or of sources written whole, are stable at once."""
        at_once = {source.name for source in config.sources if source.at_once}
        known = set(known)
        since: dict[tuple[str, str], tuple[Fingerprint, int]] = {}
        offers: list[Offer] = []
        self.unstable = 0
        for file in found:
            place = (file.source, file.path)
            mark, first_ms = self._since.get(place, (None, boot_ms))
            if mark != file.mark:
                first_ms = boot_ms
            since[place] = (file.mark, first_ms)
            offer = Offer(
                file_id(file.source, file.path, file.mark.size_bytes, file.mark.mtime_ns),
                file.source,
                file.path,
                file.mark,
            )
            still = boot_ms - first_ms >= config.stable_ms
            if still or file.source in at_once or offer.file_id in known:
                offers.append(offer)
            else:
                self.unstable += 1
        self._since = since
        self.offers = {offer.file_id: offer for offer in sorted(offers, key=lambda offer: offer.key)}

    def named(self, source: str, path: str) -> Offer | None:
        """The stable file at a path."""
        return next((o for o in self.offers.values() if (o.source, o.path) == (source, path)), None)

    def newest(self, source: str, count: int) -> list[Offer]:
        """The stable files of a source that were written last, newest first."""
        own = [offer for offer in self.offers.values() if offer.source == source]
        return sorted(own, key=lambda offer: offer.mark.mtime_ns, reverse=True)[:count]

    def is_changing_in(self, source: str) -> bool:
        """Whether a source has a file that is not stable yet."""
        stable = {(offer.source, offer.path) for offer in self.offers.values()}
        return any(place[0] == source and place not in stable for place in self._since)

    def is_changing(self, source: str, path: str) -> bool:
        """Whether a file is there that is not stable yet."""
        return (source, path) in self._since and self.named(source, path) is None

    def after(self, key: str) -> Sequence[Offer]:
        """In order, what comes after a key ("" for all)."""
        return [offer for offer in self.offers.values() if offer.key > key]

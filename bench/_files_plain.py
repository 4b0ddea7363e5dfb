"""What the courier is compared with: `FILE PORT PART_BYTES`, streamed part by part and hashed on the way."""

from __future__ import annotations

import hashlib
import http.client
import sys
from pathlib import Path

from bench._files_cost import Cost

CHUNK_BYTES = 1024**2


def main(path: Path, port: int, part_bytes: int) -> None:
    """Send the file."""
    cost = Cost()
    connection = http.client.HTTPConnection("127.0.0.1", port)
    buffer = memoryview(bytearray(CHUNK_BYTES))
    with path.open("rb", buffering=0) as file:
        size_bytes = left = path.stat().st_size
        while left:
            part = min(part_bytes, left)
            digest = hashlib.sha256()
            connection.putrequest("PUT", f"/part?partNumber={(size_bytes - left) // part_bytes + 1}")
            connection.putheader("Content-Length", str(part))
            connection.endheaders()
            left -= part
            while part:
                got = file.readinto(buffer[: min(part, CHUNK_BYTES)])
                piece = buffer[:got]
                digest.update(piece)
                connection.send(piece)
                part -= got
            connection.getresponse().read()
    cost.tell()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))

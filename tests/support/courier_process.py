"""A courier with its link in a process that is there to be killed: `facts.json thing root [source path]`.

With source and path it asks for that file first; without, it goes on with what the folder says. It ends by
itself once every upload has come to its end.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from tests.support.courier_world import Gateway


async def main(facts: Path, thing: str, root: Path, wanted: list[str]) -> None:
    """See the module."""
    async with Gateway(json.loads(facts.read_text()), thing, root).running() as gateway:
        if wanted:
            file_id = await gateway.fetch(*wanted)
        else:
            (path,) = (root / "spool" / "courier").glob("*.jsonl")
            file_id = path.stem
        answer = await gateway.ended(file_id)
        (root / "ended.json").write_text(json.dumps(answer))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), sys.argv[4:]))

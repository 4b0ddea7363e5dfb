"""How a command can end other than well, and the exit codes (docs/cli.md)."""

from __future__ import annotations

from typing import Final

DONE: Final = 0
REFUSED: Final = 1  # a gateway refused or failed, or a job did
USAGE: Final = 2  # argparse's own
NO_ANSWER: Final = 3  # a gateway, an upload or a job did not come to an end in time
UNREACHABLE: Final = 4  # the cloud cannot be reached or does not allow it
CORRUPT: Final = 5  # a file arrived, and not as it was sent
INTERRUPTED: Final = 130  # 128 + SIGINT, as shells have it


class Complaint(Exception):
    """Said on standard error as it is; it names the thing and the way out."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code

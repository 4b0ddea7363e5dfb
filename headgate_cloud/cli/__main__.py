"""`headgate ...`: parses, runs one command, and turns what went wrong into a line and an exit code."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from headgate_cloud.cli import arguments
from headgate_cloud.cli.errors import INTERRUPTED, UNREACHABLE, USAGE, Complaint


def main(argv: Sequence[str] | None = None) -> int:
    given = arguments.parse(sys.argv[1:] if argv is None else argv)
    given.thing = [*given.thing, *getattr(given, "thing_after", [])]
    module, _, name = given.run.partition(":")
    try:
        command = importlib.import_module(f"headgate_cloud.cli.commands.{module}")
        code: int = getattr(command, name)(given)
    except Complaint as complaint:
        return _say(str(complaint), complaint.code)
    except ValueError as error:  # words that parse and mean nothing
        return _say(str(error), USAGE)
    except KeyboardInterrupt:
        return _say("interrupted", INTERRUPTED)
    except BrokenPipeError:  # `headgate ... | head` is not an error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ImportError as error:
        return _say(f"{error.name} is not installed; ./headgate sets up what is needed", UNREACHABLE)
    except Exception as error:
        if not _is_botocore(error):
            raise
        return _say(f"AWS: {error}", UNREACHABLE)
    return code


def _say(text: str, code: int) -> int:
    sys.stderr.write(f"headgate: {text}\n")
    return code


def _is_botocore(error: Exception) -> bool:
    """Without importing it: who asks for help does not wait for it."""
    return any(kind.__module__.startswith("botocore.") for kind in type(error).__mro__)


if __name__ == "__main__":
    sys.exit(main())

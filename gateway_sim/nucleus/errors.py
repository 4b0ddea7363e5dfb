"""Errors of the nucleus: those that cross IPC as modelled shapes, and those that name a bad input file."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class IpcError(Exception):
    """An error that the caller of an operation receives; the class name is the shape's name."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    @property
    def shape(self) -> str:
        """The modelled name without namespace, such as `ServiceError`."""
        return type(self).__name__


class ServiceError(IpcError):
    """The nucleus cannot do it now, or does not provide it."""


class ResourceNotFoundError(IpcError, LookupError):
    """No such component or configuration key."""


class ComponentNotFoundError(IpcError):
    """No such component."""


class InvalidArgumentsError(IpcError):
    """The request itself is wrong."""


class UnauthorizedError(IpcError):
    """accessControl of the component does not allow it."""


class ConflictError(IpcError):
    """It would collide with what there is."""


class FailedUpdateConditionCheckError(IpcError):
    """The stored value is newer than the proposed one."""


class InvalidTokenError(IpcError):
    """The token belongs to no running component."""


class CloseConnection(Exception):
    """The nucleus drops this connection without an answer, as lite does above its limits."""


class InputError(Exception):
    """A file the nucleus was given is wrong: which file, where in it, what, and the way out."""

    def __init__(self, file: object, path: str, what: str, hint: str = "") -> None:
        self.file, self.path, self.what, self.hint = str(file), path, what, hint
        place = f"{file}: {path}" if path else str(file)
        super().__init__(f"{place}: {what}" + (f" ({hint})" if hint else ""))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint for an unknown name: the nearest known one, or all of them."""
    options = sorted(known)
    folded = {option.lower(): option for option in options}
    near = difflib.get_close_matches(name.lower(), folded, n=1)
    return f"did you mean {folded[near[0]]!r}?" if near else f"known here: {', '.join(options)}"

"""The base classes of all errors of Taskbound.

    TaskboundError
    ├── MalformedError      fix the input
    │   └── TamperedError   keep the evidence (`core.audit.errors`)
    ├── DeniedError         ask an approver, or do something else
    └── UnavailableError    try again later; nothing was permitted

Each class has a stable ``code``. Its ``family`` decides the exit status, HTTP status, JSON-RPC code and log
level (`FAMILIES`). Text is lower case, without a final stop, user input in backticks, never a secret; a
``remedy`` says what to do. ``str`` and tracebacks escape all of it; ``message`` and ``where`` are raw.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Family(NamedTuple):
    """How surfaces report the errors of one family."""

    exit_status: int
    http_status: int
    rpc_code: int
    log_level: int
    """As `logging` numbers them. What a caller did wrong is no news for those who run the daemon."""


_DEBUG: Final = 10
_WARNING: Final = 30
FAMILIES: Final[Mapping[str, Family]] = {
    "": Family(1, 500, -32603, _DEBUG),
    "malformed": Family(2, 400, -32602, _DEBUG),
    "tampered": Family(5, 400, -32602, _DEBUG),
    "denied": Family(3, 403, -32603, _DEBUG),
    "unproven": Family(3, 401, -32603, _DEBUG),
    "unavailable": Family(4, 503, -32603, _WARNING),
}
"""By name; the empty name is that of an unexpected error. No class is `unproven`: the daemon gives that to a
fault about a proof (`wire.connection.Fault`)."""


class _Notes:
    """Computes an error's own notes when a traceback or `add_note` reads them, before added ones."""

    def __get__(self, error: TaskboundError | None, kind: type | None = None) -> list[str]:
        if error is None:
            raise AttributeError("only an error that was raised has notes")
        notes = error.own_notes()
        # Here `add_note` finds the list that it adds to (PEP 678).
        vars(error).update(__notes__=notes, _own=len(notes))
        return notes


class TaskboundError(Exception):
    """The base class of all errors of Taskbound."""

    code: ClassVar[str] = "error"
    family: ClassVar[str] = ""
    remedy: ClassVar[str] = ""
    __notes__ = _Notes()  # a list when read from an error

    def __init__(self, message: str, *, remedy: str = "", where: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.advice = remedy or type(self).remedy

    def __str__(self) -> str:
        """Escapes control characters, so that the text cannot move a cursor or begin a line."""
        return _escaped(super().__str__())

    def __reduce__(self) -> tuple[object, ...]:
        """Keeps all attributes when the error crosses a process boundary."""
        return _again, (type(self), self.args, vars(self))

    def beside(self) -> str:
        return "; ".join([f"and {self}", *self.own_notes()])

    def own_notes(self) -> list[str]:
        """The notes that a traceback shows below the text: place and advice."""
        code = "" if f"[{self.code}]" in self.message else f"[{self.code}]"
        doing = " ".join(one for one in (self.advice and f"what to do: {self.advice}", code) if one)
        return [_escaped(one) for one in (self.where and f"at `{self.where}`", doing, self._look()) if one]

    def _look(self) -> str:
        return ""

    def added_notes(self) -> tuple[str, ...]:
        return tuple(vars(self).get("__notes__", ())[vars(self).get("_own", 0) :])


class MalformedError(TaskboundError):
    """The input is not valid."""

    code = "malformed"
    family = "malformed"


class DeniedError(TaskboundError):
    """The request is refused, for a reason that a person can change."""

    code = "denied"
    family = "denied"


class UnavailableError(TaskboundError):
    """A required component could not be reached; nothing was permitted."""

    code = "unavailable"
    family = "unavailable"


def _again(kind: type[TaskboundError], args: tuple[object, ...], state: dict[str, object]) -> TaskboundError:
    made = kind.__new__(kind, *args)
    vars(made).update(state)
    return made


def _escaped(line: str) -> str:
    from taskbound.core.action.text import escape_rest  # noqa: PLC0415 -- its own errors are made of these

    return escape_rest(line)


def error_classes() -> tuple[type[TaskboundError], ...]:
    """Returns all imported error classes of this package, in code order."""
    found: dict[str, type[TaskboundError]] = {}
    todo: list[type[TaskboundError]] = [TaskboundError]
    while todo:
        one = todo.pop()
        todo.extend(one.__subclasses__())
        if one.__module__.startswith("taskbound."):  # a program's own subclass has a code of its own making
            found[one.code] = one
    return tuple(found[code] for code in sorted(found))


def error_class(code: str) -> type[TaskboundError] | None:
    return next((one for one in error_classes() if one.code == code), None)

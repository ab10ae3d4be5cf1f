"""Every error of Taskbound, in families by who can act on it.

    TaskboundError
    ├── MalformedError      fix the input
    │   └── TamperedError   keep the evidence (`core.audit.errors`)
    ├── DeniedError         ask someone, or do something else
    └── UnavailableError    try again later; nothing was allowed

Each class has a stable ``code``. Its ``family`` decides the exit status, the HTTP status, the JSON-RPC code
and the level of the log line (`FAMILIES`); a surface lists only codes for which its protocol has a status of
its own. Text is lower case, without a stop, user input in backticks, never a secret. A ``remedy`` says what
to do next.

What Python itself shows of one, as ``str`` and in a traceback, is a line each: the text, the place in the
input, what to do with the code. All of it is escaped; ``message``, ``where`` and ``advice`` are as they were
given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Family(NamedTuple):
    """How each surface reports the errors of one family."""

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
    """The notes of an error: its own, made when a traceback or `add_note` asks, before all others."""

    def __get__(self, error: TaskboundError | None, kind: type | None = None) -> list[str]:
        if error is None:
            raise AttributeError("only an error that was raised has notes")
        notes = error.own_notes()
        # Here `add_note` finds the list that it adds to (PEP 678).
        vars(error).update(__notes__=notes, _own=len(notes))
        return notes


class TaskboundError(Exception):
    """Anything that Taskbound says no to; catch this to catch all of it."""

    code: ClassVar[str] = "error"
    family: ClassVar[str] = ""
    remedy: ClassVar[str] = ""
    __notes__ = _Notes()  # a list, for whoever reads it of an error

    def __init__(self, message: str, *, remedy: str = "", where: str = "") -> None:
        """Say what is wrong, what to do about it, and in which place of the input."""
        super().__init__(message)
        self.message = message
        self.where = where
        self.advice = remedy or type(self).remedy

    def __str__(self) -> str:
        """The text in one line, escaped: nothing moves a cursor or begins a line."""
        return _escaped(super().__str__())

    def __reduce__(self) -> tuple[object, ...]:
        """As it is, whatever it was made with: what a pool's worker raises reaches who waits for it."""
        return _again, (type(self), self.args, vars(self))

    def beside(self) -> str:
        """This as a note on another error, which is raised in its place."""
        return "; ".join([f"and {self}", *self.own_notes()])

    def own_notes(self) -> list[str]:
        """What a traceback shows below the text: where it is, and what to do about it."""
        code = "" if f"[{self.code}]" in self.message else f"[{self.code}]"
        doing = " ".join(one for one in (self.advice and f"what to do: {self.advice}", code) if one)
        return [_escaped(one) for one in (self.where and f"at `{self.where}`", doing, self._look()) if one]

    def _look(self) -> str:
        """Where more is found than `advice` says, in the last line of it; empty where nothing is."""
        return ""

    def added_notes(self) -> tuple[str, ...]:
        """The notes that somebody added."""
        return tuple(vars(self).get("__notes__", ())[vars(self).get("_own", 0) :])


class MalformedError(TaskboundError):
    """The input can't be read as what it claims to be."""

    code = "malformed"
    family = "malformed"


class DeniedError(TaskboundError):
    """The answer is no, with a reason that someone can change."""

    code = "denied"
    family = "denied"


class UnavailableError(TaskboundError):
    """Something that the answer needs could not be reached; nothing was allowed."""

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
    """Every class of the tree that this package has and that was imported, in code order."""
    found: dict[str, type[TaskboundError]] = {}
    todo: list[type[TaskboundError]] = [TaskboundError]
    while todo:
        one = todo.pop()
        todo.extend(one.__subclasses__())
        if one.__module__.startswith("taskbound."):  # a program's own subclass has a code of its own making
            found[one.code] = one
    return tuple(found[code] for code in sorted(found))


def error_class(code: str) -> type[TaskboundError] | None:
    """The class that has this code, of those that were imported."""
    return next((one for one in error_classes() if one.code == code), None)

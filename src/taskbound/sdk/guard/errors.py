"""Errors of guarded calls, with remedies.

1. `code`, `reasons` and `remedy` of a refusal are the daemon's, set on the instance.
2. `RefusedError`, `CallUndecidedError` and their subclasses mean that the function did not run;
   `ResultWithheldError` and `OutcomeUntoldError` mean that it ran.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.errors import DeniedError, MalformedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action.canonical import JsonValue


class SignatureError(MalformedError):
    """The function's signature can't be expressed as a tool's schema."""

    code = "bad-function"
    remedy = (
        "annotate each parameter with what JSON can say (str, int, float, bool, list, dict, Literal, Enum,"
        " None, a TypedDict or a dataclass), and take no `*args` and no `**kwargs`"
    )


class NoClientError(DeniedError):
    """A guarded function was called outside any client."""

    code = "no-client"
    remedy = "call it within `with client.task(…):` or `with client:`, or guard it with `@client.guard(…)`"


class ForkedError(DeniedError):
    """A client was used in another process."""

    code = "client-forked"
    remedy = "make a client in each process: a connection is of the one that made it"


class OtherLoopError(DeniedError):
    """An asynchronous client was used in another event loop than that of its first use."""

    code = "other-loop"
    remedy = "make a client in each event loop"


class CallUndecidedError(UnavailableError):
    """The call could not be decided: nothing was permitted and nothing ran."""

    code = "call-undecided"
    remedy = "try again later"

    def __init__(self, message: str, *, code: str = "", remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        vars(self)["code"] = code or type(self).code  # rule 1
        vars(self)["remedy"] = self.advice


class PermitOverError(UnavailableError):
    """The permit expired before its function began: nothing ran."""

    code = "permit-late"
    remedy = "call it again: it is decided anew"


class DecisionAlteredError(DeniedError):
    """The permit is for another action than the requested one: nothing ran."""

    code = "decision-altered"
    remedy = "see whether another program answers in the daemon's place: `taskbound doctor`"


class RefusedError(DeniedError):
    """The daemon refused the call; nothing ran."""

    code = "call-refused"

    def __init__(  # noqa: PLR0913 -- what is said of a refusal, each by its name
        self,
        message: str,
        *,
        tool: str,
        code: str = "",
        remedy: str = "",
        action: str = "",
        task: str = "",
        reasons: tuple[tuple[str, str], ...] = (),
    ) -> None:
        """Keeps the daemon's code (rule 1), remedy, reasons (code, text), action and task, if known."""
        super().__init__(message, remedy=remedy)
        vars(self)["code"] = code or type(self).code  # rule 1
        vars(self)["remedy"] = self.advice
        self.tool = tool
        self.action = action
        self.task = task
        self.reasons = reasons


class UnpinnedToolError(RefusedError):
    """The tool is not pinned; a person pins it with `tool_file`."""

    code = "tool-not-pinned"
    tool_file: str = ""

    def _look(self) -> str:
        return "how a person pins it: docs/guides/sdk.md, *Pinning it*"


class HeldError(RefusedError):
    """An approval is required (`approval`); the same call with the same arguments resumes it."""

    code = "call-held"
    approval: str = ""
    """Empty where the daemon did not name it; `action` names it to the command line as well."""
    lifters: tuple[str, ...] = ()

    @property
    def look(self) -> str:
        """Returns the command that shows the approval."""
        return f"taskbound approval show {self.approval or self.action}"

    def _look(self) -> str:
        return f"how a person sees it: `{self.look}`" if self.approval or self.action else ""


class HoldDeniedError(HeldError):
    """An approver denied the call."""

    code = "call-denied"


class HoldOverError(HeldError):
    """The approval expired or was withdrawn."""

    code = "call-over"


class NarrowedError(RefusedError):
    """The approver narrowed the call, and the caller did not allow that."""

    code = "call-narrowed"
    arguments: Mapping[str, JsonValue] = {}
    """What may be asked for instead."""
    changed: tuple[tuple[str, str, str], ...] = ()
    """Place, and the value before and after, as JSON."""


class RepeatedError(RefusedError):
    """The key was permitted before; `state` says with which outcome. Nothing ran now."""

    code = "call-repeated"
    state: str = ""
    answer: JsonValue = None
    """The result that was kept, or None."""


class ResultWithheldError(DeniedError):
    """The function ran, but its task ended or everything was stopped: its result is withheld."""

    code = "result-withheld"
    remedy = "do nothing with what it did; the task is over"

    def __init__(self, message: str, *, action: str, code: str = "", remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        vars(self)["code"] = code or type(self).code  # rule 1
        vars(self)["remedy"] = self.advice
        self.action = action


class OutcomeUntoldError(UnavailableError):
    """The function ran and its outcome could not be reported: it is unknown until reconciled."""

    code = "outcome-untold"
    remedy = (
        "do not repeat the call before a person has checked: `taskbound action reconcile` records the outcome"
    )

    def __init__(self, message: str, *, action: str, outcome: str, over: bool = False) -> None:
        super().__init__(message)
        self.action = action
        self.outcome = outcome
        self.over = over
        """Whether the daemon hears it no more; else the client tells it, should it be able to."""


class NoTaskHereError(DeniedError):
    """A client over the network has no task."""

    code = "no-task-named"
    remedy = (
        "name one: `task=`, or the variable TASKBOUND_TASK; a person starts it (`taskbound task start`). For"
        " the program to start one itself, give the client a `subject=` (`taskbound.SubjectToken`)"
    )


class TaskNotStartedError(DeniedError):
    """No task can be started from here."""

    code = "no-task-started"
    remedy = (
        "have a person start it: `taskbound run` around the program, or `taskbound task start` and"
        " `task=` here. A process that acted for one task starts no other"
    )


class TaskNotEndedError(UnavailableError):
    """A task that was started here could not be ended."""

    code = "task-not-ended"
    remedy = "end it with `taskbound task end`, or it goes on until its deadline"


class NotCarriedError(DeniedError):
    """The permit can't be forwarded from here, or no transaction token is issued."""

    code = "not-carried"
    remedy = (
        "call it in a guarded function, in the thread or task that runs it, of a client that is over the"
        " network (`Client(ORIGIN, proof=…)`)"
    )


REPEATED: Final = "action-repeated"
KINDS: Final[Mapping[str, type[RefusedError]]] = {
    "approval-denied": HoldDeniedError,
    "held": HeldError,
    "hold-over": HoldOverError,
    "narrowed": NarrowedError,
    "unknown-tool": UnpinnedToolError,
    REPEATED: RepeatedError,
}
"""What a refusal is, by the daemon's code; `RefusedError` for every other one."""

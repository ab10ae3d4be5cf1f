"""What a guarded call can end in beside its function's own result, and what helps.

1. `code`, `reasons` and `remedy` of a refusal are the daemon's own: an instance says them in the place of its
   class.
2. Whatever is raised before the function began says so by its class: of all that `RefusedError` and
   `CallUndecidedError` are the classes of, nothing ran. `ResultWithheldError` and `OutcomeUntoldError` are
   raised when it did.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.errors import DeniedError, MalformedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action.canonical import JsonValue


class SignatureError(MalformedError):
    """A function's signature can't be a tool's schema."""

    code = "bad-function"
    remedy = (
        "annotate each parameter with what JSON can say (str, int, float, bool, list, dict, Literal, Enum,"
        " None, a TypedDict or a dataclass), and take no `*args` and no `**kwargs`"
    )


class NoClientError(DeniedError):
    """A guarded function was called where no client is."""

    code = "no-client"
    remedy = "call it within `with client.task(…):` or `with client:`, or guard it with `@client.guard(…)`"


class ForkedError(DeniedError):
    """A client was taken into another process."""

    code = "client-forked"
    remedy = "make a client in each process: a connection is of the one that made it"


class OtherLoopError(DeniedError):
    """An asynchronous client is used in another event loop than the one it was first used in."""

    code = "other-loop"
    remedy = "make a client in each event loop"


class CallUndecidedError(UnavailableError):
    """It could not be decided: nothing was permitted, and nothing ran."""

    code = "call-undecided"
    remedy = "try again later"

    def __init__(self, message: str, *, code: str = "", remedy: str = "") -> None:
        """Keep what was said."""
        super().__init__(message, remedy=remedy)
        vars(self)["code"] = code or type(self).code  # rule 1
        vars(self)["remedy"] = self.advice


class PermitOverError(UnavailableError):
    """A permit came, or its function was about to begin, when its time was over: nothing ran."""

    code = "permit-late"
    remedy = "call it again: it is decided anew"


class DecisionAlteredError(DeniedError):
    """What was permitted is not what was asked for: nothing ran."""

    code = "decision-altered"
    remedy = "see whether another program answers in the daemon's place: `taskbound doctor`"


class RefusedError(DeniedError):
    """The daemon said no to one call, and nothing ran."""

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
        """Keep what was said.

        Args:
            message: In words.
            tool: `server__tool`.
            code: The daemon's (rule 1).
            remedy: What may be done instead.
            action: The action's id; empty when there is none of it.
            task: The task's id; empty when none could be named.
            reasons: Code and text of each.
        """
        super().__init__(message, remedy=remedy)
        vars(self)["code"] = code or type(self).code  # rule 1
        vars(self)["remedy"] = self.advice
        self.tool = tool
        self.action = action
        self.task = task
        self.reasons = reasons


class UnpinnedToolError(RefusedError):
    """No such tool is pinned; `tool_file` is what a person pins it by."""

    code = "tool-not-pinned"
    tool_file: str = ""

    def _look(self) -> str:
        return "how a person pins it: docs/guides/sdk.md, *Pinning it*"


class HeldError(RefusedError):
    """People have to say yes first; `approval` is what they are asked.

    Called again with the same arguments it goes on where it was, while the question is open.
    """

    code = "call-held"
    approval: str = ""
    """Empty where the daemon did not name it; `action` names it to the command line as well."""
    lifters: tuple[str, ...] = ()

    @property
    def look(self) -> str:
        """The command by which a person sees what is asked."""
        return f"taskbound approval show {self.approval or self.action}"

    def _look(self) -> str:
        return f"how a person sees it: `{self.look}`" if self.approval or self.action else ""


class HoldDeniedError(HeldError):
    """A person said no."""

    code = "call-denied"


class HoldOverError(HeldError):
    """The question is over without an answer: it expired, or was withdrawn."""

    code = "call-over"


class NarrowedError(RefusedError):
    """A person answered with something less, and the caller did not say that it may run instead."""

    code = "call-narrowed"
    arguments: Mapping[str, JsonValue] = {}
    """What may be asked for instead."""
    changed: tuple[tuple[str, str, str], ...] = ()
    """Place, and the value before and after, as JSON."""


class RepeatedError(RefusedError):
    """It was permitted under this key before; `state` says what became of it. Nothing ran now."""

    code = "call-repeated"
    state: str = ""
    answer: JsonValue = None
    """The result that was kept; None where there is none."""


class ResultWithheldError(DeniedError):
    """The function ran, and its result may not be used: its task ended, or everything was stopped."""

    code = "result-withheld"
    remedy = "do nothing with what it did; the task is over"

    def __init__(self, message: str, *, action: str, code: str = "", remedy: str = "") -> None:
        """Keep which action's it is."""
        super().__init__(message, remedy=remedy)
        vars(self)["code"] = code or type(self).code  # rule 1
        vars(self)["remedy"] = self.advice
        self.action = action


class OutcomeUntoldError(UnavailableError):
    """The function ran, and what came of it could not be told: it is unknown, and a person's to reconcile."""

    code = "outcome-untold"
    remedy = (
        "do not call it again before somebody has looked: `taskbound action reconcile` says what became of it"
    )

    def __init__(self, message: str, *, action: str, outcome: str, over: bool = False) -> None:
        """Keep which action's it is, what would have been told, and whether it never will be."""
        super().__init__(message)
        self.action = action
        self.outcome = outcome
        self.over = over
        """Whether the daemon hears it no more; else the client tells it, should it be able to."""


class NoTaskHereError(DeniedError):
    """A client that is over the network was told no task."""

    code = "no-task-named"
    remedy = (
        "name one: `task=`, or the variable TASKBOUND_TASK; a person starts it (`taskbound task start`). For"
        " the program to start one itself, give the client a `subject=` (`taskbound.SubjectToken`)"
    )


class TaskNotStartedError(DeniedError):
    """A task could not be started from here."""

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
    """A permit can't be carried to a service from here, or its transaction token is not to be had."""

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

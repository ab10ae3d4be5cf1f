"""One guarded call, step by step; the driver performs the steps, blocking or not.

    arguments ─▶ ask ─▶ (held ─▶ wait ─▶ ask again) ─▶ permit ─▶ run ─▶ tell ─▶ result

* A flow is a generator without I/O: it yields steps, receives their results, and gets errors thrown in.
* The function gets values read from the decided bytes, and begins only within its permit's time, counted
  from before the question by a clock that runs on while the machine sleeps.
* An exception leaves the outcome *unknown*, unless its type was declared to mean that nothing was done:
  then it is *failed*. Only the type's name is reported.
* A result is used only after its outcome was reported and the daemon released it. A permit whose function
  did not begin is reported as *not sent*. Interrupting the wait for approvers withdraws the question.
* The next call with the same arguments resumes a held call, and so receives a narrower answer.
* Debts are written down before each step (`owed`), so an interrupted flow leaves them there.
"""

from __future__ import annotations

import time
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, TypeVar

from taskbound.core.action.canonical import canonical
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
from taskbound.core.identity.proof import KEY_LENGTH
from taskbound.sdk.fresh import awake
from taskbound.sdk.guard import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from taskbound.sdk.guard.owed import Debt


T = TypeVar("T")
PERMIT: Final = 30.0
"""Seconds that a permit lasts (`flows.decision.group`); a test holds the two to each other."""
_DENIED: Final = "denied"
_HOLDS: Final = 1000
_NAME: Final = 200
"""Reported characters of a type's name."""
_AGAIN: Final = frozenset({"approved", "superseded"})
"""Answers after which the question is repeated, to receive a narrower action."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Run the function with these values; yields its result."""

    values: Any
    """What was made of the decided bytes, and compared with them."""
    tool: str
    action: str
    """The permit that it runs on."""
    arguments: bytes
    """The bytes that were decided."""
    debt: Debt
    """To be told that it begins, right before it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Wait for this many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Say:
    """Perform a transport's own step."""

    what: object


Step: TypeAlias = Run | Pause | Say
Flow: TypeAlias = "Generator[Step, Any, T]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One requested call."""

    tool: str
    arguments: bytes
    """Canonical."""
    definition: str
    """The digest of the tool's definition, as the function has it."""
    key: str = ""
    """The caller's idempotency key; empty without."""
    resume: str = ""
    """The held action that this is the next try of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """Permission to run once."""

    action: str
    asked: float
    """When the question was sent, by `awake`: seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The approvers' answer to a held action, if there is one."""

    state: str
    """`approved`, `denied`, `expired`, `withdrawn`, `superseded`; empty while nothing was said."""
    reason: str = ""


class Holds:
    """The held calls of one client."""

    def __init__(self) -> None:
        self._actions: dict[tuple[str, bytes], str] = {}

    def resumed(self, call: Call) -> Call:
        return replace(call, resume=self._actions.get((call.tool, call.arguments), ""))

    def keep(self, call: Call, action: str) -> None:
        """Remembers a held call; the number is bounded."""
        self._actions[call.tool, call.arguments] = action
        if len(self._actions) > _HOLDS:
            self._actions.pop(next(iter(self._actions)), None)

    def forget(self, call: Call) -> None:
        self._actions.pop((call.tool, call.arguments), None)

    def over(self) -> None:
        """Forgets all held calls, since their task has ended."""
        self._actions.clear()

    @property
    def are_none(self) -> bool:
        return not self._actions


class Transport(Protocol):
    """The way to the daemon: its socket, or HTTP."""

    @property
    def patience(self) -> float:
        """Returns the default seconds for which an outcome is retried."""

    def ask(self, call: Call, debt: Debt) -> Flow[Permit]:
        """Returns the permit; MUST NOT return one for another action.

        MUST write down the question before sending it, and the answer on arrival. MUST raise `RefusedError`
        for a refusal and an `UnavailableError` where no permit is known.
        """

    def again(self, debt: Debt) -> Flow[None]:
        """Resolves a lost question; MUST NOT repeat an unsent one, another holder's or the caller's key."""

    def tell(self, action: str, outcome: str, note: str = "", *, seconds: float | None = None) -> Flow[None]:
        """MUST raise unless the outcome is durable and the result may be used; bounded by `seconds`."""

    def hear(self, held: errors.HeldError, seconds: float) -> Flow[Answered]:
        """Waits at most `seconds` for the approvers' answer."""

    def leave(self, action: str) -> Flow[None]:
        """Withdraws the question, if the daemon can be reached."""


class Function(Protocol):
    """The function to run, as its flow sees it."""

    @property
    def failed(self) -> tuple[type[Exception], ...]:
        """Returns the exception types that mean nothing was done."""

    def made(self, decided: bytes) -> object:
        """Returns argument values; raises if it can't be called with exactly the decided ones."""

    def finished(self, result: object) -> object:
        """Returns the result; raises SignatureError if it still has to run."""


class _LeftError(BaseException):
    """Carries an exception that would otherwise close the generator, which could then yield no step."""

    def __init__(self, error: GeneratorExit) -> None:
        super().__init__()
        self.error = error


def drive(flow: Flow[T], perform: Callable[[Step], object]) -> T:
    """Runs a flow with blocking steps."""
    said: object = None
    failed: BaseException | None = None
    while True:
        try:
            step = flow.send(said) if failed is None else flow.throw(failed)
        except StopIteration as done:
            result: T = done.value
            return result
        except _LeftError as left:
            raise left.error from None
        said, failed = None, None
        try:
            said = perform(step)
        except GeneratorExit as error:
            failed = _LeftError(error)
        except BaseException as error:  # noqa: BLE001 -- the flow says what each means, and raises it again
            failed = error


async def steer(flow: Flow[T], perform: Callable[[Step], Any]) -> T:
    said: object = None
    failed: BaseException | None = None
    while True:
        try:
            step = flow.send(said) if failed is None else flow.throw(failed)
        except StopIteration as done:
            result: T = done.value
            return result
        said, failed = None, None
        try:
            said = await perform(step)
        except GeneratorExit:  # the coroutine is closed: nothing can be awaited in it any more
            flow.close()
            raise
        except BaseException as error:  # noqa: BLE001 -- the flow says what each means, and raises it again
            failed = error


def guarded(  # noqa: PLR0913 -- what a call is made of, each by its name
    transport: Transport,
    call: Call,
    *,
    debt: Debt,
    holds: Holds,
    wait: float,
    narrowed: bool,
    function: Function,
) -> Flow[object]:
    """Runs one guarded call; `wait`: seconds for approvers; `narrowed` allows a narrower call."""
    asked = call
    try:
        call, permit = yield from _permitted(
            transport, holds.resumed(call), debt, wait=wait, narrowed=narrowed
        )
    except (errors.HoldDeniedError, errors.HoldOverError):
        debt.over()
        holds.forget(asked)
        raise
    except errors.HeldError as error:
        debt.over()  # the caller knows of the pending approval
        holds.keep(asked, error.action)
        raise
    except errors.NarrowedError:
        raise
    except TaskboundError:
        holds.forget(asked)
        raise
    holds.forget(asked)
    return (yield from _ran(transport, call, permit, function, debt))


def _ran(transport: Transport, call: Call, permit: Permit, function: Function, debt: Debt) -> Flow[object]:
    try:
        values = function.made(call.arguments)
        _require_time(call, permit)
    except BaseException as error:
        yield from told_beside(transport, debt, permit.action, "not-sent", error)
        raise
    try:
        result = yield Run(
            values=values, debt=debt, tool=call.tool, action=permit.action, arguments=call.arguments
        )
    except GeneratorExit:  # the driver is gone, and the debt is written down
        raise
    except BaseException as error:
        if not debt.is_begun:
            outcome = "not-sent"  # 6: it was interrupted right before
        else:
            outcome = "failed" if isinstance(error, function.failed) else "unknown"
        yield from told_beside(transport, debt, permit.action, outcome, error)
        raise
    try:
        function.finished(result)
    except errors.SignatureError as error:  # whatever is declared: it may be under way
        yield from told_beside(transport, debt, permit.action, "unknown", error)
        raise
    yield from _told(transport, debt, permit.action, "succeeded")
    return result


def _require_time(call: Call, permit: Permit) -> None:
    if awake() - permit.asked >= PERMIT:
        raise errors.PermitOverError(f"the permit of `{call.tool}` came when its time was over")


def _permitted(
    transport: Transport, call: Call, debt: Debt, *, wait: float, narrowed: bool
) -> Flow[tuple[Call, Permit]]:
    end = time.monotonic() + wait
    while True:
        try:
            return call, (yield from transport.ask(call, debt))
        except errors.NarrowedError as error:
            if not narrowed:
                raise
            key = _narrowed_key(call.key)
            call = replace(call, arguments=canonical(dict(error.arguments)), resume=error.action, key=key)
        except (errors.HoldDeniedError, errors.HoldOverError):  # people have answered already
            raise
        except errors.HeldError as error:
            if not wait > 0:  # also for NaN, which would wait without end
                raise
            call = replace(call, resume=error.action)
            again = yield from _heard(transport, error, end - time.monotonic())
            if not again:
                raise


def _narrowed_key(key: str) -> str:
    """Derives the key of the narrower action: it is another action, and the key is the same each time."""
    if not key:
        return ""
    ours = f"{key}-narrowed"
    return ours if len(ours) <= KEY_LENGTH else f"{sha256(key.encode()).hexdigest()}-narrowed"


def _heard(transport: Transport, held: errors.HeldError, left: float) -> Flow[bool]:
    if left <= 0:
        return False
    try:
        said = yield from transport.hear(held, left)
    except (TaskboundError, GeneratorExit):
        raise
    except BaseException:
        yield from transport.leave(held.action)
        raise
    if said.state in _AGAIN or not said.state:
        return True
    kind, words = (
        (errors.HoldDeniedError, "a person said no")
        if said.state == _DENIED
        else (errors.HoldOverError, "it is over")
    )
    over = kind(
        f"`{held.tool}` does not run: {said.reason or words} [{said.state}]",
        tool=held.tool,
        code="approval-denied" if said.state == _DENIED else "hold-over",
        action=held.action,
        task=held.task,
        remedy="do something else, and do not ask for the same again"
        if said.state == _DENIED
        else "call it again, if it is still needed: people are asked anew",
        reasons=held.reasons,
    )
    over.approval, over.lifters = held.approval, held.lifters
    raise over


def _told(transport: Transport, debt: Debt, action: str, outcome: str, note: str = "") -> Flow[None]:
    debt.came(action, outcome, note)
    try:
        yield from transport.tell(action, outcome, note)
    except errors.ResultWithheldError:
        debt.over()  # it is recorded
        raise
    except errors.OutcomeUntoldError as error:
        debt.heard = True
        if error.over:
            debt.over()
        raise
    debt.over()


def _named(error: BaseException) -> str:
    """Returns the type's name, sanitized: a program may choose any name."""
    return "".join(one if one.isprintable() else "?" for one in type(error).__name__[:_NAME])


def told_beside(
    transport: Transport, debt: Debt, action: str, outcome: str, error: BaseException
) -> Flow[None]:
    """Reports an outcome while another error is raised; a failure is added to that error as a note."""
    note = "" if outcome == "not-sent" else _named(error)
    try:
        yield from _told(transport, debt, action, outcome, note)
    except TaskboundError as other:
        error.add_note(f"and what came of `{action}` was not taken: {other} [{other.code}]")

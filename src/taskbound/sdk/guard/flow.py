"""What happens to one guarded call, step by step: whoever drives it does the steps, waiting or not.

    arguments ─▶ ask ─▶ (held ─▶ wait ─▶ ask again) ─▶ permit ─▶ run ─▶ tell ─▶ result

1. A flow is a generator: it gives out steps, is sent what came of each, and has an error thrown in where a
   step failed. It reads no socket, and waits for nothing itself; so one flow serves programs that block and
   those that don't.
2. What runs is what was decided: the function gets what is read from the decided bytes.
3. A function begins only within its permit's time. That is counted from before the question was sent, by a
   clock that nobody sets and that goes on while the machine sleeps: no difference between the clocks of two
   machines makes a permit longer.
4. What a function raises leaves its outcome *unknown*: it may have done what it was to do before. Only what
   was declared to mean that nothing was done is told as *failed*. Both by the name of its type and no word
   of it.
5. A result is used only after it was told, and the daemon said that it may be.
6. What was permitted and did not begin, for whatever reason, is told as *not sent*: nothing was done.
7. Whoever interrupts the wait for people takes the question back.
8. Which call is held is remembered until it is answered: called again, it is presented as the same one, so
   that a narrower answer is heard of.
9. What a call owes the daemon is written down before each step of it (`owed`): a flow that ends between two
   of them, for whatever reason, leaves it there.
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
from taskbound.sdk.guard.errors import (
    HeldError,
    HoldDeniedError,
    HoldOverError,
    NarrowedError,
    OutcomeUntoldError,
    PermitOverError,
    ResultWithheldError,
    SignatureError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from taskbound.sdk.guard.owed import Debt


T = TypeVar("T")
PERMIT: Final = 30.0
"""Seconds that a permit lasts (`flows.decision.group`); a test holds the two to each other."""
_DENIED: Final = "denied"
_HOLDS: Final = 1000
_NAME: Final = 200
"""Characters of a type's name that are told."""
_AGAIN: Final = frozenset({"approved", "superseded"})
"""Answers after which the same is asked again: a narrower action is told by that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Have the function run with these values; what comes back is its result."""

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
    """Let so many seconds pass."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Say:
    """Have the world outside do this, whatever a transport's own steps are."""

    what: object


Step: TypeAlias = Run | Pause | Say
Flow: TypeAlias = "Generator[Step, Any, T]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call that is asked for."""

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
    """Leave to run once."""

    action: str
    asked: float
    """When the question was sent, by `awake`: seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What people said of a held action, where they said something."""

    state: str
    """`approved`, `denied`, `expired`, `withdrawn`, `superseded`; empty while nothing was said."""
    reason: str = ""


class Holds:
    """The calls of one client that are held, by what they are (rule 8)."""

    def __init__(self) -> None:
        """Know of none."""
        self._actions: dict[tuple[str, bytes], str] = {}

    def resumed(self, call: Call) -> Call:
        """The call, as the next try of the held one where there is one."""
        return replace(call, resume=self._actions.get((call.tool, call.arguments), ""))

    def keep(self, call: Call, action: str) -> None:
        """It is held; the latest are remembered."""
        self._actions[call.tool, call.arguments] = action
        if len(self._actions) > _HOLDS:
            self._actions.pop(next(iter(self._actions)), None)

    def forget(self, call: Call) -> None:
        """It is held no more."""
        self._actions.pop((call.tool, call.arguments), None)

    def over(self) -> None:
        """None is held any more: their task has ended."""
        self._actions.clear()

    @property
    def are_none(self) -> bool:
        """Whether people are asked about none of them, as far as it is known here."""
        return not self._actions


class Transport(Protocol):
    """How the daemon is spoken to: over its socket, or over HTTP."""

    @property
    def patience(self) -> float:
        """Seconds for which an outcome is told again where nobody says how long."""

    def ask(self, call: Call, debt: Debt) -> Flow[Permit]:
        """The permit, where there is one.

        It MUST write down the question before it is sent, and what was answered as soon as it is (rule 9). It
        MUST raise `RefusedError` or one of its kinds where the daemon answered no, and an `UnavailableError`
        where nobody knows of a permit. It MUST NOT give a permit whose action is not this one's.
        """

    def again(self, debt: Debt) -> Flow[None]:
        """Find out what became of a question whose answer nobody heard, and write that down.

        It MUST NOT ask again what was never sent, what another holder sent, or what is under a key of the
        caller's: that would be another question. Raises an `UnavailableError` where it can be tried again.
        """

    def tell(self, action: str, outcome: str, note: str = "", *, seconds: float | None = None) -> Flow[None]:
        """Say what came of it; returns when that is durable and a result may be used.

        It MUST raise `ResultWithheldError` where it may not, and `OutcomeUntoldError` where it could not be
        told, within `patience` or so many seconds.
        """

    def hear(self, held: HeldError, seconds: float) -> Flow[Answered]:
        """What people answered, as soon as they did; for so many seconds at most."""

    def leave(self, action: str) -> Flow[None]:
        """Take the question back, as far as that can be said."""


class Function(Protocol):
    """What is run, as far as its flow has to know."""

    @property
    def failed(self) -> tuple[type[Exception], ...]:
        """The errors by which it says that nothing was done."""

    def made(self, decided: bytes) -> object:
        """The values of its arguments; raises where it can't be called with exactly what was decided."""

    def finished(self, result: object) -> object:
        """Its result; a `SignatureError` where it is still to run."""


class _LeftError(BaseException):
    """A function raised what would close a generator, which gives out no step any more then."""

    def __init__(self, error: GeneratorExit) -> None:
        super().__init__()
        self.error = error


def drive(flow: Flow[T], perform: Callable[[Step], object]) -> T:
    """What comes of a flow, each step done by `perform` before the next."""
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
    """The same, of steps that are awaited."""
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
    """The function's result.

    Args:
        transport: How the daemon is spoken to.
        call: What is asked.
        debt: Where what it owes is written down (rule 9).
        holds: What is held of the client's calls.
        wait: How many seconds people may take, should they have to be asked.
        narrowed: Whether less may run, where a person answers with less.
        function: What runs.

    Raises:
        RefusedError: It was refused, or is held.
        UnavailableError: It could not be decided.
        ResultWithheldError: It ran, and its result may not be used.
        OutcomeUntoldError: It ran, and nobody could be told.
    """
    asked = call
    try:
        call, permit = yield from _permitted(
            transport, holds.resumed(call), debt, wait=wait, narrowed=narrowed
        )
    except (HoldDeniedError, HoldOverError):
        debt.over()
        holds.forget(asked)
        raise
    except HeldError as error:
        debt.over()  # whoever called knows that people are asked
        holds.keep(asked, error.action)  # 8
        raise
    except NarrowedError:
        raise
    except TaskboundError:
        holds.forget(asked)
        raise
    holds.forget(asked)
    return (yield from _ran(transport, call, permit, function, debt))


def _ran(transport: Transport, call: Call, permit: Permit, function: Function, debt: Debt) -> Flow[object]:
    """What comes of the run on a permit, told."""
    try:
        values = function.made(call.arguments)
        _require_time(call, permit)  # 3
    except BaseException as error:
        yield from told_beside(transport, debt, permit.action, "not-sent", error)  # 6
        raise
    try:
        result = yield Run(
            values=values, debt=debt, tool=call.tool, action=permit.action, arguments=call.arguments
        )  # 2
    except GeneratorExit:  # whoever drives is gone, and what is owed is written down
        raise
    except BaseException as error:
        if not debt.is_begun:
            outcome = "not-sent"  # 6: it was interrupted right before
        else:
            outcome = "failed" if isinstance(error, function.failed) else "unknown"  # 4
        yield from told_beside(transport, debt, permit.action, outcome, error)
        raise
    try:
        function.finished(result)
    except SignatureError as error:  # whatever is declared: it may be under way
        yield from told_beside(transport, debt, permit.action, "unknown", error)  # 4
        raise
    yield from _told(transport, debt, permit.action, "succeeded")  # 5
    return result


def _require_time(call: Call, permit: Permit) -> None:
    if awake() - permit.asked >= PERMIT:
        raise PermitOverError(f"the permit of `{call.tool}` came when its time was over")


def _permitted(
    transport: Transport, call: Call, debt: Debt, *, wait: float, narrowed: bool
) -> Flow[tuple[Call, Permit]]:
    """The permit, and what it is for, once people have answered where they have to be asked."""
    end = time.monotonic() + wait
    while True:
        try:
            return call, (yield from transport.ask(call, debt))
        except NarrowedError as error:
            if not narrowed:
                raise
            key = _narrowed_key(call.key)
            call = replace(call, arguments=canonical(dict(error.arguments)), resume=error.action, key=key)
        except (HoldDeniedError, HoldOverError):  # people have answered already
            raise
        except HeldError as error:
            if not wait > 0:  # also where it is no number: whoever waited for that would wait without end
                raise
            call = replace(call, resume=error.action)
            again = yield from _heard(transport, error, end - time.monotonic())
            if not again:
                raise


def _narrowed_key(key: str) -> str:
    """The key of what runs instead, the same each time: it is another action, and has another one."""
    if not key:
        return ""
    ours = f"{key}-narrowed"
    return ours if len(ours) <= KEY_LENGTH else f"{sha256(key.encode()).hexdigest()}-narrowed"


def _heard(transport: Transport, held: HeldError, left: float) -> Flow[bool]:
    """Whether it is worth asking again; raises where people said no."""
    if left <= 0:
        return False
    try:
        said = yield from transport.hear(held, left)
    except (TaskboundError, GeneratorExit):
        raise
    except BaseException:
        yield from transport.leave(held.action)  # 7
        raise
    if said.state in _AGAIN or not said.state:
        return True
    kind, words = (
        (HoldDeniedError, "a person said no") if said.state == _DENIED else (HoldOverError, "it is over")
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
    """Tell an outcome, which is owed until it is told."""
    debt.came(action, outcome, note)  # 9
    try:
        yield from transport.tell(action, outcome, note)
    except ResultWithheldError:
        debt.over()  # it is recorded
        raise
    except OutcomeUntoldError as error:
        debt.heard = True
        if error.over:
            debt.over()
        raise
    debt.over()


def _named(error: BaseException) -> str:
    """The name of its type, as it can be told: a program may give its types any."""
    return "".join(one if one.isprintable() else "?" for one in type(error).__name__[:_NAME])


def told_beside(
    transport: Transport, debt: Debt, action: str, outcome: str, error: BaseException
) -> Flow[None]:
    """Tell an outcome beside an error that is raised in any case; that it was not taken stands with that."""
    note = "" if outcome == "not-sent" else _named(error)
    try:
        yield from _told(transport, debt, action, outcome, note)
    except TaskboundError as other:
        error.add_note(f"and what came of `{action}` was not taken: {other} [{other.code}]")

"""Talks to the daemon over its socket for guarded calls.

The connection has the role of a gateway: it holds the permits and is the task's heartbeat. A permit is
accepted only for this action: the digest is computed here and compared. The same holder sends a question
whose answer was lost once more, also when its caller was interrupted (`owed`); if it was permitted before,
*not sent* is reported. Under the caller's own key nothing is reported, since another process may use it. An
owed outcome is reported on the next connection, which within five seconds is the same holder (design 4.9).
After that the caller gets OutcomeUntoldError. The daemon is also polled for the approvers' answer, since a
push can be lost.
"""

from __future__ import annotations

import time
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Final, NoReturn

import msgspec

from taskbound.core.action.digest import Action, Frame
from taskbound.core.action.parse import parse_document, parse_object
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError, UnavailableError
from taskbound.sdk.client import DaemonLostError
from taskbound.sdk.fresh import awake
from taskbound.sdk.guard import errors
from taskbound.sdk.guard.flow import Answered, Flow, Pause, Permit, Say, told_beside
from taskbound.wire.action import Decide, Duplicate, Narrowed, Outcome, Permitted, Refused, Released, Withheld
from taskbound.wire.approval import HoldPush, LeaveHold
from taskbound.wire.connection import Fault

if TYPE_CHECKING:
    from taskbound.sdk.guard.flow import Call
    from taskbound.sdk.guard.owed import Debt
    from taskbound.wire.envelope import Answer


GRACE: Final = 5.0
"""Seconds within which a lost holder is the same again."""
_MOST_WAIT: Final = 600
"""Seconds that people may be asked for at most: the daemon's own bound."""
_LOOK: Final = 5.0
"""Seconds after which the daemon is asked though it said nothing."""
_PAUSE: Final = 0.1
UNAVAILABLE: Final = "unavailable"
"""The family of a fault after which the same may be tried again."""
_NOT_HOLDER: Final = "not-holder"
"""The daemon's code where who tells an outcome holds no permit of the action any more."""
_DENIED: Final = "denied"
_HELD: Final = "held"
_PERMITTED: Final = "permitted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """Wait at most so many seconds for pushes about this held action."""

    action: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Ask this, after noting the asking holder in the debt."""

    ask: Decide
    debt: Debt


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedQuestion:
    """Await a question's answer, or repeat it as the same holder; None if neither is possible."""

    debt: Debt


class SocketTransport:
    """The daemon of this machine."""

    def __init__(self, *, namespace: str, agent: str) -> None:
        self._namespace = namespace
        self._agent = agent
        self._numbers = count(1)

    @property
    def patience(self) -> float:
        """Returns the seconds for which a lost connection can be resumed."""
        return GRACE

    def ask(self, call: Call, debt: Debt) -> Flow[Permit]:
        asked = awake()
        ask = Decide(
            tool=call.tool,
            arguments=msgspec.Raw(call.arguments),
            request=f'"guard-{next(self._numbers)}"',
            key=call.key,
            resume=call.resume,
            wait=_MOST_WAIT,
            read=(),
        )
        debt.asks(ask, own=bool(call.key))
        try:
            answer: Answer = yield Say(what=Question(ask=ask, debt=debt))
        except DaemonLostError as error:
            if call.key:
                debt.over()
                raise
            yield Pause(seconds=_PAUSE)
            asked = awake()
            answer = yield Say(what=Question(ask=ask, debt=debt))
            if isinstance(answer, Duplicate) and answer.state == _PERMITTED:
                undecided = errors.CallUndecidedError(
                    f"the answer was lost, and nothing was done: {error.message}", remedy="call it again"
                )
                yield from told_beside(self, debt, answer.action, "not-sent", undecided)
                raise undecided from error
        _write_down(answer, debt)
        return (yield from self._permit(call, answer, asked, debt))

    def again(self, debt: Debt) -> Flow[None]:
        answer: Answer | None = yield Say(what=RepeatedQuestion(debt=debt))
        match answer:
            case Fault(family=family, message=message) if family == UNAVAILABLE:
                raise errors.CallUndecidedError(message)
            case Duplicate(state=state, action=action) if state == _PERMITTED and not debt.is_own:
                debt.permitted(action)
            case None:
                debt.over()
            case _:
                _write_down(answer, debt)

    def _permit(self, call: Call, answer: Answer, asked: float, debt: Debt) -> Flow[Permit]:
        match answer:
            case Permitted():
                try:
                    self._require_same(call, answer)
                except (errors.DecisionAlteredError, errors.UnpinnedToolError) as error:
                    yield from told_beside(self, debt, answer.action, "not-sent", error)
                    raise
                return Permit(action=answer.action, asked=asked)
            case Refused():
                raise _refusal(call.tool, answer)
            case Narrowed():
                less = errors.NarrowedError(
                    "a person has answered with a narrower action, which may run instead of this one",
                    tool=call.tool,
                    code="narrowed",
                    action=answer.action,
                    task=answer.task,
                    remedy="ask for it, with `arguments`, or let it run with `narrowed=True`",
                )
                less.arguments = parse_object(bytes(answer.arguments))
                less.changed = tuple((one.place, one.before, one.after) for one in answer.changed)
                raise less
            case Duplicate():
                raise _repeated(call.tool, answer)
            case Fault():
                _raise(call.tool, answer)
            case _:
                raise errors.CallUndecidedError(
                    f"the daemon answered `{type(answer).__name__}` to who asked for an action"
                )

    def tell(self, action: str, outcome: str, note: str = "", *, seconds: float | None = None) -> Flow[None]:
        end = time.monotonic() + (GRACE if seconds is None else seconds)
        while True:
            try:
                answer: Answer = yield Say(what=Outcome(action=action, outcome=outcome, note=note))
            except TaskboundError as error:
                why, over = error.message, not isinstance(error, UnavailableError)
            else:
                over = False
                match answer:
                    case Released():
                        return
                    case Withheld(code=code, reason=why) if code == _NOT_HOLDER:
                        over = True  # it is unknown there, or was reported differently
                    case Withheld(recorded=True) if outcome == "succeeded":
                        raise errors.ResultWithheldError(
                            f"its result may not be used: {answer.reason}", action=action, code=answer.code
                        )
                    case Withheld(recorded=True):
                        return
                    case Withheld(reason=why):
                        pass
                    case Fault(message=why, family=family):
                        over = family == _DENIED
                    case _:
                        why = f"the daemon answered `{type(answer).__name__}`"
            if over or time.monotonic() >= end:
                raise errors.OutcomeUntoldError(
                    f"what came of `{action}` ({outcome}) could not be told: {why}",
                    action=action,
                    outcome=outcome,
                    over=over,
                )
            yield Pause(seconds=_PAUSE)

    def hear(self, held: errors.HeldError, seconds: float) -> Flow[Answered]:
        push: HoldPush | None = yield Say(what=Listen(action=held.action, seconds=min(seconds, _LOOK)))
        if push is None:
            return Answered(state="")
        return Answered(state=push.state, reason=push.reason)

    def leave(self, action: str) -> Flow[None]:
        """Withdraws the question; an unreachable daemon notices the connection's end."""
        try:
            yield Say(what=LeaveHold(action=action))
        except TaskboundError:
            return

    def _require_same(self, call: Call, answer: Permitted) -> None:
        frame = _frame(self._namespace, answer.task, self._agent, call.tool, answer.server, answer.definition)
        if Action(frame=frame, arguments=call.arguments).digest != answer.digest:
            raise errors.DecisionAlteredError(f"what was permitted is not what was asked of `{call.tool}`")
        _require_pinned(call, answer.definition)


def _write_down(answer: Answer, debt: Debt) -> None:
    match answer:
        case Permitted(action=action):
            debt.permitted(action)
        case Refused(code=code, action=action) if code == _HELD:
            debt.held(action)
        case _:
            debt.over()


@lru_cache(maxsize=256)
def _frame(namespace: str, task: str, agent: str, tool: str, server: str, definition: str) -> Frame:
    return Frame(namespace=namespace, task=task, agent=agent, tool=tool, server=server, definition=definition)


def _require_pinned(call: Call, definition: str) -> None:
    """Raises UnpinnedToolError unless the decision used the function's own definition."""
    if call.definition != definition:
        raise errors.UnpinnedToolError(
            f"`{call.tool}` is pinned with another definition than the function has now",
            tool=call.tool,
            code="other-definition",
            remedy="have a person look at what changed, and pin it anew",
        )


def _refusal(tool: str, answer: Refused) -> errors.RefusedError:
    reasons = tuple((one.code, one.text) for one in answer.reasons)
    words = "; ".join(text for _, text in reasons)
    kind = errors.KINDS.get(answer.code, errors.RefusedError)
    state = answer.waits if answer.code == _HELD else "refused"
    said = kind(
        f"`{tool}` is {state}{f': {words}' if words else ''} [{answer.code}]",
        tool=tool,
        code=answer.code,
        remedy=answer.instead,
        action=answer.action,
        task=answer.task,
        reasons=reasons,
    )
    if isinstance(said, errors.HeldError):
        said.approval = answer.approval
    return said


def _repeated(tool: str, answer: Duplicate) -> errors.RepeatedError:
    said = errors.RepeatedError(
        f"`{tool}` was asked for under this key before, and is {answer.state}",
        tool=tool,
        code=errors.REPEATED,
        action=answer.action,
        task=answer.task,
        remedy="do nothing on this answer; take another key for another action",
        reasons=tuple((one.code, one.text) for one in answer.reasons),
    )
    said.state = answer.state
    if isinstance(answer.answer, msgspec.Raw):
        said.answer = parse_document(bytes(answer.answer))
    return said


def _raise(tool: str, fault: Fault) -> NoReturn:
    if fault.family == UNAVAILABLE:
        raise errors.CallUndecidedError(fault.message, code=fault.code, remedy=fault.advice)
    raise errors.RefusedError(
        f"`{tool}` is refused: {fault.message} [{fault.code}]",
        tool=tool,
        code=fault.code,
        remedy=fault.advice,
    )

"""Talks to the daemon over HTTP for guarded calls.

A permit is accepted only for this action: its arguments are compared byte by byte. A question whose answer
was lost is sent once more under the same key; if it was permitted before, *not sent* is reported. Under the
caller's own key nothing is reported, since another process may use it. An outcome is sent for some seconds
until it is accepted; repeats change nothing. An error of the program's own proof is no answer: the caller
gets OutcomeUntoldError.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import canonical
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, TaskboundError
from taskbound.sdk.fresh import awake
from taskbound.sdk.guard import errors, holder
from taskbound.sdk.guard.flow import Answered, Flow, Pause, Permit, Say, told_beside
from taskbound.sdk.guard.owed import Asked
from taskbound.sdk.guard.proof import UnreadableProofError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.sdk.guard.flow import Call
    from taskbound.sdk.guard.owed import Debt


_OWED: Final = 15.0
"""Seconds for which an outcome is retried."""
_PAUSE: Final = 0.25
_LOOK: Final = 1.0
"""Seconds between two looks at a held action."""
_REASONS: Final = "reasons"
_NOT_HOLDER: Final = "not-holder"
_NONE: Final = "act_none"
_UNKNOWN: Final = 404
_ACTIONS: Final = "/v1/actions"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Put:
    body: bytes
    key: str
    task: str
    """In which it was asked: in another one it is another question."""


class HttpTransport(holder.Holder):
    """The daemon behind its API."""

    @property
    def patience(self) -> float:
        """Returns the seconds for which an outcome is retried."""
        return _OWED

    def ask(self, call: Call, debt: Debt) -> Flow[Permit]:
        asked = awake()
        told: dict[str, JsonValue] = {"tool": call.tool, **({"resume": call.resume} if call.resume else {})}
        body = b'{"arguments":%b,%b' % (call.arguments, canonical(told)[1:])
        key = call.key or secrets.token_urlsafe(16)
        put = _Put(body=body, key=key, task=self.task)
        debt.asks(put, own=bool(call.key))
        answer, lost = yield from self._asked(put, debt)
        if answer is None or answer.status >= holder.FAILED:
            if call.key:
                debt.over()
                raise errors.CallUndecidedError(
                    f"the answer was lost: {lost}",
                    remedy="call it again with the same key: it says what became of this one, or decides it",
                )
            yield Pause(seconds=_PAUSE)
            if put.task != self.task:  # it would be another question
                debt.over()
                raise errors.CallUndecidedError(f"the answer was lost, and its task is over: {lost}")
            asked = awake()
            answer = yield from self.shown("POST", _ACTIONS, body, key=key, debt=debt)
            if action := _repeated(answer):
                undecided = errors.CallUndecidedError(
                    f"the answer was lost, and nothing was done: {lost}", remedy="call it again"
                )
                yield from told_beside(self, debt, action, "not-sent", undecided)
                raise undecided
        _write_down(answer, debt)
        if answer.status != holder.OK:
            raise self._refusal(call.tool, answer)
        return (yield from self._permit(call, holder.object_of(answer), asked, debt))

    def again(self, debt: Debt) -> Flow[None]:
        answer: holder.HttpAnswer | None = yield Say(what=holder.Await(debt=debt))
        if answer is None or answer.status >= holder.FAILED:
            asked = debt.due
            if not isinstance(asked, Asked) or asked.own or not isinstance(asked.what, _Put):
                debt.over()
                return
            if asked.what.task != self.task:
                debt.over()
                return
            debt.answer = None
            answer = yield from self.shown("POST", _ACTIONS, asked.what.body, key=asked.what.key)
        if answer.status >= holder.FAILED or answer.status == holder.TOO_MANY:
            raise errors.CallUndecidedError(f"status {answer.status}")
        if (action := _repeated(answer)) and not debt.is_own:
            debt.permitted(action)
        else:
            _write_down(answer, debt)

    def _asked(self, put: _Put, debt: Debt) -> Flow[tuple[holder.HttpAnswer | None, str]]:
        try:
            answer = yield from self.shown("POST", _ACTIONS, put.body, key=put.key, debt=debt)
        except holder.ApiLostError as error:
            if not error.sent:
                raise
            return None, error.message
        return answer, _problem(answer, "detail") or f"status {answer.status}"

    def _permit(self, call: Call, said: Mapping[str, JsonValue], asked: float, debt: Debt) -> Flow[Permit]:
        action = holder.text_of(said, "action")
        try:
            same = (
                said.get("is") == "action-permitted"
                and said.get("tool") == call.tool
                and canonical(said.get("arguments")) == call.arguments
            )
            if not same:
                raise errors.DecisionAlteredError(
                    f"what was permitted is not what was asked of `{call.tool}`"
                )
            if said.get("definition") != call.definition:
                raise errors.UnpinnedToolError(
                    f"`{call.tool}` is pinned with another definition than the function has now",
                    tool=call.tool,
                    code="other-definition",
                    remedy="have a person look at what changed, and pin it anew",
                )
        except DeniedError as error:
            if action:
                yield from told_beside(self, debt, action, "not-sent", error)
            raise
        return Permit(action=action, asked=asked)

    def tell(self, action: str, outcome: str, note: str = "", *, seconds: float | None = None) -> Flow[None]:
        body = canonical({"outcome": outcome, **({"note": note} if note else {})})
        end = time.monotonic() + (_OWED if seconds is None else seconds)
        while True:
            cause: BaseException | None = None
            try:
                answer = yield from self.shown("POST", f"/v1/actions/{action}/outcome", body, late=True)
            except TaskboundError as error:
                why, over = error.message, isinstance(error, DeniedError)
                cause = error.__cause__ if isinstance(error, UnreadableProofError) else error
            else:
                if answer.status == holder.OK and (
                    outcome != "succeeded" or holder.object_of(answer).get("result") == "may-leave"
                ):
                    return
                why, over = _problem(answer, "detail") or f"status {answer.status}", False
                if answer.status in {holder.UNPROVEN, _UNKNOWN} or _problem(answer, "code") == _NOT_HOLDER:
                    over = True  # also of an action of the task before, which no token of this one tells of
                elif answer.status < holder.FAILED and answer.status != holder.TOO_MANY:
                    raise errors.ResultWithheldError(
                        f"its result may not be used: {why}",
                        action=action,
                        code=_problem(answer, "code"),
                        remedy=_problem(answer, "advice"),
                    )
            if over or time.monotonic() >= end:
                raise errors.OutcomeUntoldError(
                    f"what came of `{action}` ({outcome}) could not be told: {why}",
                    action=action,
                    outcome=outcome,
                    over=over,
                ) from cause
            yield Pause(seconds=_PAUSE)

    def hear(self, held: errors.HeldError, seconds: float) -> Flow[Answered]:
        """Polls each second for the approvers' answer."""
        end = time.monotonic() + seconds
        while True:
            answer = yield from self.shown("GET", f"/v1/actions/{held.action}/state", b"")
            if answer.status == holder.OK:
                said = holder.object_of(answer)
                state = holder.text_of(said, "approval_state")
                if state not in {"", "pending"} or said.get("state") != "held":
                    return Answered(state=state)
            elif answer.status < holder.FAILED and answer.status != holder.TOO_MANY:
                raise self._refusal(held.tool, answer)
            left = end - time.monotonic()
            if left <= 0:
                return Answered(state="")
            yield Pause(seconds=min(_LOOK, left))

    def leave(self, action: str) -> Flow[None]:  # noqa: ARG002 -- the transport's own shape
        """Does nothing: an unresumed question is withdrawn after ten minutes."""
        yield from ()

    def beat(self) -> Flow[None]:
        """Sends the heartbeat: any request with the task's token counts."""
        yield from self.shown("GET", f"/v1/actions/{_NONE}/state", b"")

    def _refusal(self, tool: str, answer: holder.HttpAnswer) -> TaskboundError:
        said = holder.object_of(answer)
        code, detail, advice = (holder.text_of(said, one) for one in ("code", "detail", "advice"))
        if answer.status >= holder.FAILED or answer.status == holder.TOO_MANY:
            return errors.CallUndecidedError(detail or f"status {answer.status}", code=code, remedy=advice)
        kind = errors.KINDS.get(code, errors.RefusedError)
        found = kind(
            f"`{tool}` is {detail if code == 'held' else f'refused: {detail}'} [{code}]",
            tool=tool,
            code=code,
            remedy=advice,
            action=holder.text_of(said, "action"),
            task=holder.text_of(said, "task"),
            reasons=_reasons(said),
        )
        match found:
            case errors.HeldError():
                found.approval = holder.text_of(said, "approval")
            case errors.NarrowedError():
                less = said.get("arguments")
                found.arguments = less if isinstance(less, dict) else {}
                found.changed = _changed(said)
            case errors.RepeatedError():
                found.state, found.answer = holder.text_of(said, "state"), said.get("answer")
            case _:
                pass
        return found


def _repeated(answer: holder.HttpAnswer) -> str:
    """Returns the action that this question was permitted as before, if its outcome is unknown; else ""."""
    said = holder.object_of(answer)
    permitted = said.get("code") == errors.REPEATED and said.get("state") == "permitted"
    return holder.text_of(said, "action") if permitted else ""


def _write_down(answer: holder.HttpAnswer, debt: Debt) -> None:
    action = holder.text_of(holder.object_of(answer), "action") if answer.status == holder.OK else ""
    if action:
        debt.permitted(action)
    else:
        debt.over()


def _problem(answer: holder.HttpAnswer, name: str) -> str:
    return holder.text_of(holder.object_of(answer), name)


def _reasons(said: Mapping[str, JsonValue]) -> tuple[tuple[str, str], ...]:
    found = said.get(_REASONS)
    rows = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    return tuple((holder.text_of(one, "code"), holder.text_of(one, "text")) for one in rows)


def _changed(said: Mapping[str, JsonValue]) -> tuple[tuple[str, str, str], ...]:
    found = said.get("changed")
    rows = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    return tuple(
        (holder.text_of(one, "place"), holder.text_of(one, "before"), holder.text_of(one, "after"))
        for one in rows
    )

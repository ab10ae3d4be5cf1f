"""Outcomes of calls: recorded by the daemon first; the result leaves only after release.

A call whose server got no answer to its question has failed, and so has the question; of a client's answer
only a digest is kept. An error by which a server asks to open URLs is an undecided question, and is not
forwarded.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.core.action.text import escape_text
from taskbound.core.errors import TaskboundError
from taskbound.ports.upstream import Answered, Errored, NoAnswer, NotSent
from taskbound.surfaces.gateway import eras as answers
from taskbound.surfaces.gateway.asked.questions import Unfinished
from taskbound.surfaces.gateway.call import InterruptReason
from taskbound.surfaces.gateway.eras import bridge, doubt, is_complete
from taskbound.surfaces.gateway.link import instead, recorded
from taskbound.wire.action import Outcome, Released, Withheld
from taskbound.wire.connection import Fault
from taskbound.wire.mcp.message import error_line

if TYPE_CHECKING:
    from taskbound.ports.upstream import UpstreamAnswer
    from taskbound.surfaces.gateway.call import Call
    from taskbound.surfaces.gateway.link import Link, UnrecordedOutcomes


MAX_KEPT: Final = 1_048_576
"""Bytes of a result that the daemon keeps for duplicates; of a larger one it gets the digest."""
_NOTE: Final = 500
_ASKS_BY_ERROR: Final = -32042
"""The error by which a server of 2025-11-25 asks to open URLs: an undecided question."""
_SERVER_LOST: Final = "ask the person who pinned the server to look at it; do not repeat the call"
_CODES: Final = {
    InterruptReason.ENDED: "task-ended",
    InterruptReason.PAUSED: "task-paused",
    InterruptReason.STOPPED: "stopped",
    InterruptReason.LOST: "daemon-lost",
}


class Outcomes:
    """Reports the outcomes of one connection's calls to the daemon."""

    def __init__(self, link: Link, debts: UnrecordedOutcomes) -> None:
        self._link = link
        self._debts = debts

    async def settle(self, call: Call, found: UpstreamAnswer | Unfinished) -> bytes:
        """Records the outcome and returns the result if the daemon releases it."""
        cause = call.cause  # one that comes while the outcome is recorded is weighed by the daemon
        match found:
            case Answered(value=value) if (doubted := doubt(call.own, value)) is not None:
                found = doubted
            case Answered(raw=raw, value=value) if is_complete(value):
                outcome = "failed" if value.get("isError") is True else "succeeded"
                keeps = call.towards is None and len(raw) <= MAX_KEPT
                kept = msgspec.Raw(raw) if keeps else msgspec.UNSET
                answer = await self.report(call, outcome, answer=kept, digest=sha256(raw).hexdigest())
                result = bridge(raw, typed="resultType" in value, modern=call.modern)
                return _leave(call, cause, answer, result)
            case Answered():
                found = NoAnswer("not-complete", "the server's answer is of a kind that is not carried here")
            case Errored(code=code) if code == _ASKS_BY_ERROR and call.towards is None:
                found = Unfinished("question-refused", "the server asks for pages to be opened by an error")
            case Errored(raw=raw):
                note = escape_text(found.message[:_NOTE])
                answer = await self.report(call, "failed", digest=sha256(raw).hexdigest(), note=note)
                return _leave(call, cause, answer, error_line(call.id_raw, raw))
            case NotSent():
                await self.report(call, "not-sent", note=f"{found.reason} {found.detail}".strip())
                return interrupted(call) if call.cause else answers.unsent(found, call.action, call.task)
            case NoAnswer() | Unfinished():
                pass
        return await self._without_answer(call, found)

    async def _without_answer(self, call: Call, found: NoAnswer | Unfinished) -> bytes:
        failed = isinstance(found, Unfinished) or call.towards is not None
        detail = "" if isinstance(found, Unfinished) else found.detail
        note = f"{found.reason} {detail}".strip()
        await self.report(call, "failed" if failed else "unknown", note=note)
        if call.cause is not None:
            return interrupted(call)
        if failed:
            return answers.told(found.code, found.reason, "", action=call.action, task=call.task)
        reason = f"what it did is unknown: {found.reason}"
        return answers.withheld(found.code, reason, action=call.action, task=call.task, advice=_SERVER_LOST)

    async def report(
        self,
        call: Call,
        outcome: str,
        *,
        answer: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET,
        digest: str = "",
        note: str = "",
    ) -> Released | Withheld:
        """Records the outcome; if that fails, the result is withheld."""
        ask = Outcome(
            action=call.action, outcome=outcome, answer=answer, answer_sha256=digest, note=note[:_NOTE]
        )
        if call.cause is InterruptReason.LOST and not self._link.connected:
            self._debts.owe(ask)
            return Withheld(action=call.action, code="daemon-lost", reason="the daemon is lost")
        try:
            said = await self._link.ask_any(ask)
            if (other := instead(ask, said)) is not None:
                ask = other
                said = await self._link.ask_any(ask)
        except TaskboundError as error:
            self._debts.owe(ask)
            reason = f"its outcome could not be recorded: {error.message}"
            return Withheld(action=call.action, code=error.code, reason=reason)
        if not recorded(said):
            self._debts.owe(ask)
        if isinstance(said, Released | Withheld):
            return said
        fault = said if isinstance(said, Fault) else Fault(code="daemon-lost", message="no answer to this")
        return Withheld(action=call.action, code=fault.code, reason=fault.message)


def _leave(call: Call, cause: InterruptReason | None, answer: Released | Withheld, result: bytes) -> bytes:
    if cause is not None:
        return interrupted(call)
    if isinstance(answer, Released):
        return result
    return answers.withheld(answer.code, answer.reason, action=call.action, task=call.task)


def interrupted(call: Call) -> bytes:
    """Returns the refusal of an interrupted call; it is not sent when the client was the cause."""
    cause = call.cause or InterruptReason.CANCELLED
    reason = call.words or cause.value
    code = _CODES.get(cause, "cancelled")
    return answers.withheld(code, reason, action=call.action, task=call.task)

"""Results of our own: refusals, withheld results, what is offered.

1. A refusal is a tool result with `isError`: one text for the model, which says what it
   may do instead. The structured reason stands in `_meta`, where it belongs to nobody's
   schema: `structuredContent` must conform to the tool's `outputSchema` (MCP, Tools,
   Output Schema), and a refusal would not.
2. `resultType` stands in it for every client: modern ones need it, older ones ignore it.
3. Text from outside reaches a sentence only escaped, by whoever wrote the sentence.
4. What came of a call that people have narrowed begins with what they changed, and says it in `_meta` too. Of
   theirs only amounts are repeated, which are digits and a point; every other byte is the server's.
5. A held call is not refused: its text says who is asked, the approval's id and until when, and begins so. A
   call whose server waits for a held credential is not refused either: its text begins with `Held:`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from taskbound.core.action.canonical import canonical
from taskbound.core.action.repeat import instead_of
from taskbound.core.credential.errors import CredentialHeldError
from taskbound.core.dataclass import dataclass
from taskbound.surfaces.gateway.errors import code_of
from taskbound.wire.mcp.era import DECISION_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.errors import TaskboundError
    from taskbound.ports.upstream import NotSent
    from taskbound.wire.action import Changed, Duplicate, Reason, Refused


def refused(answer: Refused) -> bytes:
    """The daemon said no, or not yet (rule 5)."""
    why = answer.reasons[0].text if answer.reasons else ""
    if answer.code == "held":
        sentence = f"{answer.waits} ({why})" if why else answer.waits  # 5
    else:
        sentence = f"Refused: {why or 'it is not permitted'}"
    return told(
        answer.code,
        sentence,
        answer.instead,
        action=answer.action,
        task=answer.task,
        reasons=answer.reasons,
    )


def error_result(error: TaskboundError, *, action: str = "", task: str = "") -> bytes:
    """A call that was understood and could not be made."""
    word = "Held" if isinstance(error, CredentialHeldError) else "Refused"  # 5
    return told(code_of(error), f"{word}: {error.message}", error.advice, action=action, task=task)


def withheld(code: str, reason: str, *, action: str, task: str, advice: str = "") -> bytes:
    """The call was made, and its result does not reach the client."""
    instead = advice or "do not repeat it; ask the person who opened the task how to go on"
    return told(code, f"The result of this call is withheld: {reason}", instead, action=action, task=task)


def unsent(found: NotSent, action: str, task: str) -> bytes:
    """The call was permitted, and its server was not reached: nothing has happened."""
    advice = "see that the server runs, and call again"
    return told(found.code, f"Refused: nothing was sent: {found.reason}", advice, action=action, task=task)


def duplicate(answer: Duplicate) -> bytes:
    """The same call came before, and there is no answer to repeat."""
    instead = instead_of(answer.state)
    state = answer.state.replace("-", " ")
    return told(
        "duplicate",
        f"The same call came before and is {state}",
        instead,
        action=answer.action,
        task=answer.task,
        reasons=answer.reasons,
    )


def narrowed(result: bytes, changed: Sequence[Changed], *, action: str) -> bytes:
    """The result, or the line, of a call that ran narrower than it was made (rule 4)."""
    values = [f"`{one.place}` is {_bare(one.after)} instead of {_bare(one.before)}" for one in changed]
    words = f"A person has narrowed this call: {', '.join(values)}."
    members = msgspec.json.decode(result, type=dict[str, msgspec.Raw])
    if result.endswith(b"\n"):
        return _write(members | {"error": _error(members["error"], words)}) + b"\n"
    meta = _members(members.get("_meta"))
    if DECISION_KEY not in meta:
        said: list[JsonValue] = [
            {"after": one.after, "argument": one.place, "before": one.before} for one in changed
        ]
        meta[DECISION_KEY] = _raw({"action": action, "changed": said, "code": "narrowed"})
    items = [_raw({"text": words, "type": "text"}), *_items(members.get("content"))]
    return _write(members | {"_meta": msgspec.Raw(_write(meta)), "content": _row(items)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What a result of ours says, for an answer that has to be an error."""

    code: str = ""
    words: str = ""
    data: bytes = b""
    """The structured reason, canonical."""


NO_DECISION: Final = Decided()


def decision_in(result: bytes) -> Decided:
    """What of ours stands in a result; `NO_DECISION` where it is a server's, which has none (`shapes`)."""
    members = msgspec.json.decode(result, type=dict[str, msgspec.Raw])
    meta = _members(members.get("_meta"))
    if DECISION_KEY not in meta:
        return NO_DECISION
    decision = msgspec.json.decode(meta[DECISION_KEY], type=dict[str, Any])
    content = msgspec.json.decode(members["content"], type=list[dict[str, Any]])
    return Decided(code=str(decision["code"]), words=str(content[0]["text"]), data=bytes(meta[DECISION_KEY]))


def _error(raw: msgspec.Raw, words: str) -> msgspec.Raw:
    """A server's error, whose message begins with what was changed."""
    members = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    message = msgspec.json.decode(members["message"], type=str)
    return msgspec.Raw(_write(members | {"message": _raw(f"{words} {message}")}))


def _members(raw: msgspec.Raw | None) -> dict[str, msgspec.Raw]:
    """The members of what should be an object; none where it isn't."""
    if raw is None:
        return {}
    value = msgspec.json.decode(raw)
    return msgspec.json.decode(raw, type=dict[str, msgspec.Raw]) if isinstance(value, dict) else {}


def _items(raw: msgspec.Raw | None) -> list[msgspec.Raw]:
    """The items of what should be a list; where it isn't, it is the one item."""
    if raw is None:
        return []
    value = msgspec.json.decode(raw)
    return msgspec.json.decode(raw, type=list[msgspec.Raw]) if isinstance(value, list) else [raw]


def _bare(value: str) -> str:
    """An amount as it is said: a decimal text without its quotes."""
    return value.strip('"')


def _raw(value: JsonValue) -> msgspec.Raw:
    return msgspec.Raw(canonical(value))


def _row(items: Sequence[msgspec.Raw]) -> msgspec.Raw:
    return msgspec.Raw(b"[%b]" % b",".join(bytes(one) for one in items))


def _write(members: Mapping[str, msgspec.Raw]) -> bytes:
    """The members, each with the bytes that it came with."""
    return b"{%b}" % b",".join(b"%b:%b" % (canonical(name), bytes(raw)) for name, raw in members.items())


def told(
    code: str,
    sentence: str,
    instead: str,
    *,
    action: str = "",
    task: str = "",
    reasons: Sequence[Reason] = (),
) -> bytes:
    """One refusal as the bytes of a tool result (rules 1 and 2)."""
    decision: dict[str, JsonValue] = {"code": code}
    if action:
        decision["action"] = action
    if task:
        decision["task"] = task
    if reasons:
        decision["reasons"] = [_reason(one) for one in reasons]
    words = f"{sentence}. {instead[:1].upper()}{instead[1:]}." if instead else f"{sentence}."
    return canonical(
        {
            "_meta": {DECISION_KEY: decision},
            "content": [{"text": words, "type": "text"}],
            "isError": True,
            "resultType": "complete",
        }
    )


def _reason(one: Reason) -> dict[str, JsonValue]:
    found: dict[str, JsonValue] = {"code": one.code, "text": one.text}
    if one.detail:
        found["detail"] = one.detail
    return found

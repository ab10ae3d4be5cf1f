"""The eras of MCP and the shapes of answers in each.

The era is a property of each request: one whose `_meta` names a protocol version is modern, any other is
legacy and needs `initialize` first (MCP 2026-07-28, Versioning). A connection may use both; no decision
depends on it. A legacy result gets `resultType` for a modern client; every other byte is the server's. What
can't be translated is refused before the call: tools whose `outputSchema` promises non-object results are
hidden from legacy clients. A result that asks for input becomes questions (`asked`); any type beside
`complete` is an invalid answer.

A refusal is a tool result with `isError` and one text for the model; the structured reason stands in
`_meta`, because `structuredContent` must conform to the tool's `outputSchema`. Only the gateway may state a
Taskbound decision: a server's result with one in its `_meta` is invalid. The code that writes a sentence
escapes external text in it. The result of a narrowed call begins with what the approvers changed; only
amounts (digits and a point) are repeated. The text of a held call names the approvers, the approval id and
the deadline.

The result of a method beside `tools/call` and an answer to a server's question must have MCP's members,
correctly typed; more may stand there. The client checks whether a tool's result fits its schema.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any, Final

import msgspec

from taskbound import __version__
from taskbound.core.action.canonical import canonical
from taskbound.core.action.state import instead_of
from taskbound.core.credential.errors import CredentialHeldError
from taskbound.core.dataclass import dataclass
from taskbound.core.tool import QUESTION_NAMES
from taskbound.core.tool.name import shown
from taskbound.ports.upstream import NoAnswer
from taskbound.surfaces.gateway.asked.reading import wrong_answer
from taskbound.surfaces.gateway.errors import UnsupportedVersionError, code_of
from taskbound.wire.mcp.message import (
    CAPABILITIES_KEY,
    DECISION_KEY,
    IDEMPOTENCY_KEY,
    LATEST_LEGACY,
    LEGACY,
    LEVELS,
    LOG_LEVEL_KEY,
    MODERN,
    SERVER_KEY,
    SUPPORTED,
    VERSION_KEY,
)
from taskbound.wire.mcp.task import TASKS_EXTENSION, TASKS_OF_SERVERS, BadParamsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.errors import TaskboundError
    from taskbound.ports.upstream import NotSent
    from taskbound.wire.action import Changed, Duplicate, Reason, Refused


_MAX_KEY: Final = 200
_INFO: Final[dict[str, JsonValue]] = {"name": "taskbound", "version": __version__}
_INSTRUCTIONS: Final = (
    "Every call is decided against the task that a person declared; a call that does not fit is refused, and"
    " the refusal says what you may do instead. When no task runs, ask the person to open one."
)


@dataclass(frozen=True, slots=True)
class RequestMeta:
    """The contents of a request's `_meta`."""

    modern: bool
    key: str = ""
    progress: int | str | None = None
    """The client's progress token for this request, if any."""
    level: str = ""
    """The log level that a modern client requested."""
    offers: Mapping[str, JsonValue] = field(default_factory=dict)
    """The capabilities that a modern client declares with this request."""


_LEGACY_TERMS: Final = RequestMeta(modern=False)


def terms_of(params: Mapping[str, JsonValue]) -> RequestMeta:
    """Reads the era and the other terms from a request's `_meta`."""
    meta = params.get("_meta")
    if meta is None and "_meta" not in params:
        return _LEGACY_TERMS
    if not isinstance(meta, dict):
        raise BadParamsError("`_meta` is no object")
    key = meta.get(IDEMPOTENCY_KEY, "")
    if not isinstance(key, str) or len(key) > _MAX_KEY or (IDEMPOTENCY_KEY in meta and not key):
        raise BadParamsError(f"`{IDEMPOTENCY_KEY}` is no text of 1 to {_MAX_KEY} characters")
    progress = _token(meta.get("progressToken"))
    if VERSION_KEY not in meta:
        return RequestMeta(modern=False, key=key, progress=progress)
    version = meta[VERSION_KEY]
    if not isinstance(version, str):
        raise BadParamsError(f"`{VERSION_KEY}` is no text")
    if version != MODERN:
        raise UnsupportedVersionError(
            f"MCP `{shown(version)}` is not spoken here with each request", requested=shown(version)
        )
    offers = meta.get(CAPABILITIES_KEY)
    if not isinstance(offers, dict):
        raise BadParamsError(f"`{CAPABILITIES_KEY}` is missing")
    level = meta.get(LOG_LEVEL_KEY, "")
    if not isinstance(level, str) or (LOG_LEVEL_KEY in meta and level not in LEVELS):
        raise BadParamsError(f"`{LOG_LEVEL_KEY}` is one of {', '.join(LEVELS)}")
    return RequestMeta(modern=True, key=key, progress=progress, level=level, offers=offers)


def _token(value: JsonValue) -> int | str | None:
    """Returns the progress token, or None if it is invalid (MCP, Progress)."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    return value if isinstance(value, int) or 0 < len(value) <= _MAX_KEY else None


def requested_of(params: Mapping[str, JsonValue]) -> str:
    """Returns the revision that `initialize` requests; raises BadParamsError if it is invalid."""
    requested, info = params.get("protocolVersion"), params.get("clientInfo")
    if not isinstance(requested, str) or not isinstance(params.get("capabilities"), dict):
        raise BadParamsError("`initialize` needs `protocolVersion` and `capabilities`")
    if not isinstance(info, dict) or not isinstance(info.get("name"), str):
        raise BadParamsError("`initialize` needs `clientInfo`")
    return requested


def agreed(requested: str) -> str:
    """Returns a legacy client's revision: the requested one if supported, else the newest."""
    return requested if requested in LEGACY else LATEST_LEGACY


def initialized(version: str, capabilities: dict[str, JsonValue]) -> bytes:
    """Returns the result of `initialize`; only the newest legacy revision knows tasks."""
    tasks: dict[str, JsonValue] = {"tasks": TASKS_OF_SERVERS} if version == LATEST_LEGACY else {}
    return canonical(
        {
            "capabilities": capabilities | tasks,
            "instructions": _INSTRUCTIONS,
            "protocolVersion": version,
            "serverInfo": _INFO,
        }
    )


def discovered(capabilities: dict[str, JsonValue]) -> bytes:
    return canonical(
        {
            "_meta": {SERVER_KEY: _INFO},
            "cacheScope": "private",
            "capabilities": capabilities | {"extensions": {TASKS_EXTENSION: {}}},
            "instructions": _INSTRUCTIONS,
            "resultType": "complete",
            "supportedVersions": list(SUPPORTED),
            "ttlMs": 0,
        }
    )


def is_complete(result: Mapping[str, JsonValue]) -> bool:
    """Whether a result is final; without a type it is, as from older servers."""
    return result.get("resultType", "complete") == "complete"


def is_imitation(result: Mapping[str, JsonValue]) -> bool:
    """Whether a server's result contains a decision that only the gateway may state."""
    meta = result.get("_meta")
    return isinstance(meta, dict) and DECISION_KEY in meta


def bridge(raw: bytes, *, typed: bool, modern: bool) -> bytes:
    """Returns one JSON object's exact bytes for this era; `typed`: the object has a `resultType`."""
    if typed or not modern:
        return raw
    inside = raw.lstrip()[1:]
    comma = b"" if inside.lstrip().startswith(b"}") else b","
    return b'{"resultType":"complete"' + comma + inside


def crosses(tool: Mapping[str, JsonValue], *, modern: bool) -> bool:
    """Whether a tool's results can be given to a client of this era."""
    schema = tool.get("outputSchema")
    return modern or not isinstance(schema, dict) or schema.get("type") == "object"


def offered(tools: list[JsonValue], *, modern: bool, refusal: dict[str, JsonValue] | None) -> bytes:
    """Returns the result of `tools/list`, private and uncacheable."""
    return paged("tools", tools, modern=modern, cursor="", said=refusal or {})


def paged(
    member: str,
    entries: list[JsonValue],
    *,
    modern: bool,
    cursor: str,
    said: Mapping[str, JsonValue],
) -> bytes:
    """Returns one page of a list, private and uncacheable; `said` is the gateway's own `_meta`."""
    found: dict[str, JsonValue] = {member: entries}
    meta: dict[str, JsonValue] = {}
    if modern:
        found |= {"cacheScope": "private", "resultType": "complete", "ttlMs": 0}
        meta[SERVER_KEY] = _INFO
    if cursor:
        found["nextCursor"] = cursor
    meta |= said
    if meta:
        found["_meta"] = meta
    return canonical(found)


def refused(answer: Refused) -> bytes:
    why = answer.reasons[0].text if answer.reasons else ""
    if answer.code == "held":
        sentence = f"{answer.waits} ({why})" if why else answer.waits
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
    """Returns the result for a valid call that could not be made."""
    word = "Held" if isinstance(error, CredentialHeldError) else "Refused"
    return told(code_of(error), f"{word}: {error.message}", error.advice, action=action, task=task)


def withheld(code: str, reason: str, *, action: str, task: str, advice: str = "") -> bytes:
    """Returns the result for a call that was made and whose result is withheld."""
    instead = advice or "do not repeat it; ask the person who opened the task how to go on"
    return told(code, f"The result of this call is withheld: {reason}", instead, action=action, task=task)


def unsent(found: NotSent, action: str, task: str) -> bytes:
    advice = "see that the server runs, and call again"
    return told(found.code, f"Refused: nothing was sent: {found.reason}", advice, action=action, task=task)


def duplicate(answer: Duplicate) -> bytes:
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
    """Returns the result or line of a call that ran narrower than requested."""
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
    """The gateway's decision in a result, for an answer that must be an error."""

    code: str = ""
    words: str = ""
    data: bytes = b""
    """The structured reason, canonical."""


NO_DECISION: Final = Decided()


def decision_in(result: bytes) -> Decided:
    """Returns the gateway's decision in a result, or `NO_DECISION` (`shapes`)."""
    members = msgspec.json.decode(result, type=dict[str, msgspec.Raw])
    meta = _members(members.get("_meta"))
    if DECISION_KEY not in meta:
        return NO_DECISION
    decision = msgspec.json.decode(meta[DECISION_KEY], type=dict[str, Any])
    content = msgspec.json.decode(members["content"], type=list[dict[str, Any]])
    return Decided(code=str(decision["code"]), words=str(content[0]["text"]), data=bytes(meta[DECISION_KEY]))


def _error(raw: msgspec.Raw, words: str) -> msgspec.Raw:
    members = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    message = msgspec.json.decode(members["message"], type=str)
    return msgspec.Raw(_write(members | {"message": _raw(f"{words} {message}")}))


def _members(raw: msgspec.Raw | None) -> dict[str, msgspec.Raw]:
    if raw is None:
        return {}
    value = msgspec.json.decode(raw)
    return msgspec.json.decode(raw, type=dict[str, msgspec.Raw]) if isinstance(value, dict) else {}


def _items(raw: msgspec.Raw | None) -> list[msgspec.Raw]:
    if raw is None:
        return []
    value = msgspec.json.decode(raw)
    return msgspec.json.decode(raw, type=list[msgspec.Raw]) if isinstance(value, list) else [raw]


def _bare(value: str) -> str:
    return value.strip('"')


def _raw(value: JsonValue) -> msgspec.Raw:
    return msgspec.Raw(canonical(value))


def _row(items: Sequence[msgspec.Raw]) -> msgspec.Raw:
    return msgspec.Raw(b"[%b]" % b",".join(bytes(one) for one in items))


def _write(members: Mapping[str, msgspec.Raw]) -> bytes:
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
    """Returns one refusal as the bytes of a tool result."""
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


_MAX_VALUES: Final = 100
"""Values of one completion (MCP, Completion)."""
_ROLES: Final = ("assistant", "user")


def doubt(own: str, result: Mapping[str, JsonValue]) -> NoAnswer | None:
    """Returns why this result can't be passed on, or None; `own` is the tool or method called."""
    if is_imitation(result):
        return NoAnswer("imitation", "the server's answer imitates a decision of this gateway")
    if own in QUESTION_NAMES:
        whose, wrong = "client", wrong_answer(own, result)
    else:
        whose, wrong = "server", _wrong(own, result) if is_complete(result) else ""
    if not wrong:
        return None
    return NoAnswer("not-the-protocol", f"the {whose}'s answer is not what MCP says: {wrong}")


def _wrong(own: str, result: Mapping[str, JsonValue]) -> str:
    match own:
        case "resources/read":
            contents = result.get("contents")
            if not isinstance(contents, list) or not all(_is_content(one) for one in contents):
                return "`contents` is no list of texts and blobs, each with its URI"
        case "prompts/get":
            messages = result.get("messages")
            if not isinstance(messages, list) or not all(_is_message(one) for one in messages):
                return "`messages` is no list of messages, each with role and content"
        case "completion/complete":
            found = result.get("completion")
            values = found.get("values") if isinstance(found, dict) else None
            if not isinstance(values, list) or len(values) > _MAX_VALUES or not _are_texts(values):
                return f"`completion.values` is no list of at most {_MAX_VALUES} texts"
    return ""


def _is_content(one: JsonValue) -> bool:
    if not isinstance(one, dict) or not isinstance(one.get("uri"), str):
        return False
    return isinstance(one.get("text"), str) != isinstance(one.get("blob"), str)


def _is_message(one: JsonValue) -> bool:
    if not isinstance(one, dict) or one.get("role") not in _ROLES:
        return False
    content = one.get("content")
    return isinstance(content, dict) and isinstance(content.get("type"), str)


def _are_texts(values: list[JsonValue]) -> bool:
    return all(isinstance(one, str) for one in values)

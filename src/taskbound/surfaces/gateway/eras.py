"""Which era a client speaks, what it is told about the gateway, and how results cross over.

1. The era belongs to each request: one whose `_meta` names a protocol version is modern,
   any other is legacy and needs `initialize` first (MCP 2026-07-28, Versioning). One
   connection may use both; nothing that is decided depends on it.
2. A legacy result gets `resultType` for a modern client; every other byte is the server's.
   A modern result reaches a legacy client as it is: unknown members are ignored there.
3. What can't cross is refused before the call: a legacy client can't be given results
   that are no objects, so tools whose `outputSchema` promises them are not offered to it.
4. A result that asks for input goes on as questions (`asked`). One of another type than `complete` beside it
   is an answer that can't be passed on.
5. Neither can a result with a decision of ours in its `_meta`: only the gateway speaks for
   itself there, so that whoever reads it need not believe a server.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Final

from taskbound import __version__
from taskbound.core.action.canonical import canonical
from taskbound.core.dataclass import dataclass
from taskbound.core.tool.name import shown
from taskbound.surfaces.gateway.errors import UnsupportedVersionError
from taskbound.wire.mcp.era import (
    CAPABILITIES_KEY,
    DECISION_KEY,
    IDEMPOTENCY_KEY,
    LATEST_LEGACY,
    LEGACY,
    LOG_LEVEL_KEY,
    MODERN,
    SERVER_KEY,
    SUPPORTED,
    VERSION_KEY,
)
from taskbound.wire.mcp.errors import BadParamsError
from taskbound.wire.mcp.level import LEVELS
from taskbound.wire.mcp.task import TASKS_EXTENSION, TASKS_OF_SERVERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action.canonical import JsonValue


_MAX_KEY: Final = 200
_INFO: Final[dict[str, JsonValue]] = {"name": "taskbound", "version": __version__}
_INSTRUCTIONS: Final = (
    "Every call is decided against the task that a person declared; a call that does not fit is refused, and"
    " the refusal says what you may do instead. When no task runs, ask the person to open one."
)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a request's `_meta` says."""

    modern: bool
    key: str = ""
    """The client's idempotency key."""
    progress: int | str | None = None
    """The client's token for progress of this request, if it gave one."""
    level: str = ""
    """From which level on a modern client wants to hear what is logged of this request."""
    offers: Mapping[str, JsonValue] = field(default_factory=dict)
    """The capabilities that a modern client declares with this request."""


_LEGACY_TERMS: Final = Terms(modern=False)


def terms_of(params: Mapping[str, JsonValue]) -> Terms:
    """Which era a request is of (rule 1), with what else its `_meta` says.

    Raises:
        BadParamsError: `_meta` is not what MCP has there.
        UnsupportedVersionError: It names a revision that is not spoken here.
    """
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
        return Terms(modern=False, key=key, progress=progress)
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
    return Terms(modern=True, key=key, progress=progress, level=level, offers=offers)


def _token(value: JsonValue) -> int | str | None:
    """The progress token; what is none is told nothing (MCP, Progress)."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    return value if isinstance(value, int) or 0 < len(value) <= _MAX_KEY else None


def requested_of(params: Mapping[str, JsonValue]) -> str:
    """The revision that `initialize` asks for.

    Raises:
        BadParamsError: The parameters are not those of `initialize`.
    """
    requested, info = params.get("protocolVersion"), params.get("clientInfo")
    if not isinstance(requested, str) or not isinstance(params.get("capabilities"), dict):
        raise BadParamsError("`initialize` needs `protocolVersion` and `capabilities`")
    if not isinstance(info, dict) or not isinstance(info.get("name"), str):
        raise BadParamsError("`initialize` needs `clientInfo`")
    return requested


def agreed(requested: str) -> str:
    """The revision that a legacy client gets: its own when it is spoken here, the newest otherwise."""
    return requested if requested in LEGACY else LATEST_LEGACY


def initialized(version: str, capabilities: dict[str, JsonValue]) -> bytes:
    """The result of `initialize` for a client of this revision, which knows tasks if it is the newest."""
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
    """The result of `server/discover`."""
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
    """Whether a result is final (rule 4); without a type it is, as from every older server."""
    return result.get("resultType", "complete") == "complete"


def is_imitation(result: Mapping[str, JsonValue]) -> bool:
    """Whether a server's result says what only the gateway says (rule 5)."""
    meta = result.get("_meta")
    return isinstance(meta, dict) and DECISION_KEY in meta


def bridge(raw: bytes, *, typed: bool, modern: bool) -> bytes:
    """A result for a client of this era (rule 2).

    Args:
        raw: The exact bytes of the result, one JSON object.
        typed: Whether it has a `resultType`.
        modern: Whether the client needs one.
    """
    if typed or not modern:
        return raw
    inside = raw.lstrip()[1:]
    comma = b"" if inside.lstrip().startswith(b"}") else b","
    return b'{"resultType":"complete"' + comma + inside


def crosses(tool: Mapping[str, JsonValue], *, modern: bool) -> bool:
    """Whether a tool's results can be told to a client of this era (rule 3)."""
    schema = tool.get("outputSchema")
    return modern or not isinstance(schema, dict) or schema.get("type") == "object"


def offered(tools: list[JsonValue], *, modern: bool, refusal: dict[str, JsonValue] | None) -> bytes:
    """The result of `tools/list`: never to be shared between clients, never to be kept."""
    return paged("tools", tools, modern=modern, cursor="", said=refusal or {})


def paged(
    member: str,
    entries: list[JsonValue],
    *,
    modern: bool,
    cursor: str,
    said: Mapping[str, JsonValue],
) -> bytes:
    """One page of a list: never to be shared between clients, never to be kept.

    Args:
        member: What the list is called in the result.
        entries: What is on the page.
        modern: Whether the client is of the modern era.
        cursor: The name of the next page; empty when this is the last.
        said: What the gateway has to say of it in `_meta`.
    """
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

"""Opens a connection in a known MCP era, and detects the era.

1. Only the pinned era is spoken; a server that answers in another is not the pinned one.
2. Detection sends `server/discover` first, which servers of either era may refuse. An error, silence or end
   means legacy; after silence or an end, `initialize` goes to a new process, so that no process sees both.
3. A server without a common revision is refused.
4. A modern server may refuse the first request's revision and name the same one: that request did not run and
   is repeated once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound import __version__
from taskbound.adapters.upstream.mcp.errors import EraChangedError, LevelRefusedError, StartFailedError
from taskbound.core.action.canonical import canonical
from taskbound.core.dataclass import dataclass
from taskbound.core.tool.name import METHOD_NAMES, shown
from taskbound.ports.upstream import Answered, Errored
from taskbound.wire.mcp.message import (
    CAPABILITIES_KEY,
    IDEMPOTENCY_KEY,
    INFO_KEY,
    LATEST_LEGACY,
    LEGACY,
    LOG_LEVEL_KEY,
    MODERN,
    SERVER_KEY,
    VERSION_KEY,
    is_modern,
    text,
)
from taskbound.wire.mcp.task import declares_tasks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.adapters.upstream.mcp.session import McpSession
    from taskbound.core.action.canonical import JsonValue
    from taskbound.ports.upstream import QuestionRound


_UNSUPPORTED: Final = -32022
_SOON: Final = 2.0
"""Seconds in which a server says that it took a level of logs; a call may wait for that."""
_INFO: Final[dict[str, JsonValue]] = {"name": "taskbound", "version": __version__}

_DECLARED: Final = (
    ("completion/complete", "completions"),
    ("prompts/get", "prompts"),
    ("resources/read", "resources"),
    ("resources/subscribe", "resources"),
)
"""Each method with the capability that declares it."""

_NOTHING: Final = b"{}"
_WHO: Final = canonical({INFO_KEY: _INFO, VERSION_KEY: MODERN})[1:-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The server's self-description; displayed, never used for a decision."""

    era: str
    server: str
    """Name and version, escaped."""
    methods: tuple[str, ...] = ()
    """What it says that it can be asked for beside its tools, sorted (`core.tool.METHOD_NAMES`)."""
    logs: bool = False
    """Whether it says that it logs."""
    news: bool = False
    """Whether it says that its lists change, or what is under its URIs."""
    tasks: bool = False
    """Whether it says that it makes tasks of calls."""


def params_for(
    era: str,
    members: bytes = b"",
    *,
    key: str = "",
    token: int | None = None,
    level: str = "",
    offers: bytes = _NOTHING,
) -> bytes:
    """Returns a request's parameters with exactly this `_meta`.

    `members` are the object's other members, without braces; `level` and `offers` (canonical client
    capabilities) are sent only in modern eras.
    """
    more = [b'"%b":%b' % (IDEMPOTENCY_KEY.encode(), text(key))] if key else []
    more += [b'"%b":%b' % (LOG_LEVEL_KEY.encode(), text(level))] if level and is_modern(era) else []
    more += [b'"progressToken":%d' % token] if token is not None else []
    named = b",".join(more)
    if is_modern(era):
        said = b'"%b":%b,%b' % (CAPABILITIES_KEY.encode(), offers, _WHO)
        meta = b"{%b,%b}" % (said, named) if named else b"{%b}" % said
    elif named:
        meta = b"{%b}" % named
    else:
        return b"{%b}" % members
    return b'{"_meta":%b%b%b}' % (meta, b"," if members else b"", members)


def token_in(params: Mapping[str, JsonValue]) -> int:
    """Returns a progress notification's token; 0, never a request's number, if it isn't ours."""
    token = params.get("progressToken")
    return token if type(token) is int else 0


def request_of(tool: str, arguments: bytes) -> tuple[str, bytes]:
    """Returns method and parameter members from the decided bytes; `tool` may be a method."""
    if tool in METHOD_NAMES:
        return tool, arguments[1:-1]
    return "tools/call", b'"arguments":%b,"name":%b' % (arguments, text(tool))


async def log_from(session: McpSession, level: str) -> None:
    """Sets a legacy server's log level; raises LevelRefusedError."""
    found = await session.ask("logging/setLevel", b'{"level":%b}' % text(level), patience=_SOON)
    if isinstance(found, Errored):
        raise LevelRefusedError(f"the server does not log from `{level}` on: {shown(found.message)}")


def members_of(turn: QuestionRound) -> bytes:
    """Returns the answers and state requested by a modern server, as leading members."""
    answers = b'"inputResponses":%b,' % turn.answers if turn.answers else b""
    return answers + (b'"requestState":%b,' % turn.state if turn.state else b"")


async def open_session(session: McpSession, era: str, *, patience: float, offers: bytes = _NOTHING) -> Opened:
    """Opens the connection in the pinned era; `offers` are the clients' capabilities for a legacy server."""
    if is_modern(era):
        found = await discover(session, patience=patience)
        if found is None:
            raise EraChangedError(f"the server was pinned as one of MCP {era}, and no longer is")
        return found
    if era not in LEGACY:
        raise EraChangedError(f"`{shown(era)}` is no revision of MCP that is spoken here")
    found = await _initialize(session, era, patience=patience, offers=offers)
    if found.era != era:
        raise EraChangedError(f"the server was pinned as one of MCP {era}, and answers as one of {found.era}")
    return found


async def discover(session: McpSession, *, patience: float) -> Opened | None:
    """Returns a modern server's self-description, or None for a legacy one (rule 2).

    Raises StartFailedError without a common revision (rule 3), ServerLostError without an answer.
    """
    found = await session.ask("server/discover", params_for(MODERN), patience=patience)
    if isinstance(found, Errored) and found.code == _UNSUPPORTED and MODERN.encode() in found.raw:
        found = await session.ask("server/discover", params_for(MODERN), patience=patience)  # 4
    if not isinstance(found, Answered):
        _require_common(found)
        return None
    versions = found.value.get("supportedVersions")
    if not isinstance(versions, list) or MODERN not in versions:
        return None
    meta = found.value.get("_meta")
    info = meta.get(SERVER_KEY) if isinstance(meta, dict) else None
    return _opened(MODERN, info if info is not None else found.value.get("serverInfo"), found)


async def initialize(session: McpSession, *, patience: float) -> Opened:
    return await _initialize(session, LATEST_LEGACY, patience=patience, offers=_NOTHING)


async def _initialize(session: McpSession, version: str, *, patience: float, offers: bytes) -> Opened:
    who = canonical({"clientInfo": _INFO, "protocolVersion": version})[1:]
    offer = b'{"capabilities":%b,%b' % (offers, who)
    found = await session.ask("initialize", offer, patience=patience)
    if not isinstance(found, Answered):
        raise StartFailedError(f"the server refuses `initialize`: {shown(found.message)}")
    answered = found.value.get("protocolVersion")
    if not isinstance(answered, str) or answered not in LEGACY:
        raise StartFailedError(f"the server answers with the revision `{shown(str(answered))}` of MCP")
    session.tell("notifications/initialized")
    return _opened(answered, found.value.get("serverInfo"), found)


def _opened(era: str, info: JsonValue, found: Answered) -> Opened:
    declared = found.value.get("capabilities")
    capabilities = declared if isinstance(declared, dict) else {}
    return Opened(
        era=era,
        server=_named(info),
        methods=_methods(capabilities),
        logs=isinstance(capabilities.get("logging"), dict),
        news=_news(capabilities),
        tasks=_tasks(capabilities, era),
    )


def _require_common(found: Errored) -> None:
    if found.code == _UNSUPPORTED and not any(version.encode() in found.raw for version in LEGACY):
        raise StartFailedError(
            f"the server speaks no revision of MCP that is spoken here: {shown(found.message)}"
        )


def _methods(capabilities: Mapping[str, JsonValue]) -> tuple[str, ...]:
    found = [(method, capabilities.get(word)) for method, word in _DECLARED]
    return tuple(method for method, one in found if isinstance(one, dict) and _has(method, one))


def _has(method: str, capability: Mapping[str, JsonValue]) -> bool:
    return method != "resources/subscribe" or capability.get("subscribe") is True


def _news(capabilities: Mapping[str, JsonValue]) -> bool:
    some = (one for one in capabilities.values() if isinstance(one, dict))
    return any(one.get(flag) is True for one in some for flag in ("listChanged", "subscribe"))


def _tasks(capabilities: dict[str, JsonValue], era: str) -> bool:
    if is_modern(era):
        return declares_tasks(capabilities)
    found: JsonValue = capabilities
    for member in ("tasks", "requests", "tools", "call"):
        found = found.get(member) if isinstance(found, dict) else None
    return era == LATEST_LEGACY and isinstance(found, dict)


def _named(info: JsonValue) -> str:
    known = info if isinstance(info, dict) else {}
    parts = [known.get("name"), known.get("version")]
    return shown(" ".join(part for part in parts if isinstance(part, str)))

"""MCP tasks, and the capabilities that a peer offers.

Of `task` (not Taskbound's `core.task`; grants nothing):
1. In 2025-11-25 a client requests one by `task` in the call's parameters; in 2026-07-28 a server may answer
   with one if the client declared the extension. Only two names differ: `ttl` and `pollInterval` became
   `ttlMs` and `pollIntervalMs`.
2. A name has 1 to 200 printable ASCII characters without a space: it stands in headers and logs.
3. A status is one of MCP's five, times are texts, spans are whole milliseconds, not negative. Other members
   are ignored; a wrong one refuses the whole.
Of `offers`:
1. Kinds of questions and their parts are words: `elicitation`, `elicitation/form`, `elicitation/url`,
   `roots`, `sampling`, `sampling/context`, `sampling/tools`.
2. Capabilities are canonical bytes of these words alone, so a set of words has one text and carries nothing
   else.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.core.action.canonical import canonical
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.core.action.canonical import JsonValue


class BareReturnError(MalformedError):
    """A carriage return stands inside a line, where other readers end it."""

    code = "bare-return"
    remedy = "end each message with one line feed, and write no raw carriage return before it"


class HalfMessageError(MalformedError):
    """The stream ended inside a message."""

    code = "half-message"
    remedy = "end each message with a line feed before closing the stream"


class LineSeparatorError(MalformedError):
    """A text has a character at which some readers end a line: the rest could be read as a message."""

    code = "line-separator"
    remedy = "leave out U+0085, U+2028 and U+2029"


class BatchError(MalformedError):
    """The line is a batch, which cannot get one decision."""

    code = "batch"
    remedy = "send each message on a line of its own"


class NotAMessageError(MalformedError):
    """The JSON document is no request, notification or response."""

    code = "not-a-message"
    remedy = "send JSON-RPC 2.0 requests and notifications"


class BadProtocolError(MalformedError):
    """The member `jsonrpc` is missing or is not `2.0`."""

    code = "bad-jsonrpc"
    remedy = 'send `"jsonrpc":"2.0"`'


class BadIdError(MalformedError):
    """The id is neither a text nor an integer, so that readers may disagree about it."""

    code = "bad-id"
    remedy = "use a text of at most 200 characters, or a whole number within 2^53 - 1 either way"


class UnknownMemberError(MalformedError):
    """The message has a member that its kind does not have."""

    code = "unknown-member"
    remedy = "leave it out: it would not be part of what is decided"


class BadParamsError(MalformedError):
    """The parameters are not those of the method."""

    code = "bad-params"
    remedy = "see the method in the MCP specification"


class BadMcpTaskError(MalformedError):
    """The statement about an MCP task (not a task of Taskbound) is not valid MCP."""

    code = "bad-mcp-task"
    remedy = "see Tasks in the MCP specification; where a server wrote it, have the server fixed"


TASKS_EXTENSION: Final = "io.modelcontextprotocol/tasks"
"""The extension of 2026-07-28, among the `extensions` that either side declares."""
TASKS_OF_SERVERS: Final[dict[str, JsonValue]] = {
    "cancel": {},
    "list": {},
    "requests": {"tools": {"call": {}}},
}
"""The capability `tasks` of a server of 2025-11-25 whose calls can be tasks."""
RELATED_KEY: Final = "io.modelcontextprotocol/related-task"
"""In the `_meta` of what belongs to a task of 2025-11-25: an object with its `taskId`."""
MAX_TASK_NAME: Final = 200
"""Characters of a task's name."""
MAX_SPAN: Final = 2**53 - 1
"""Milliseconds of a span; more is taken for that."""
_MAX_TIME: Final = 64
_MAX_WORDS: Final = 1_000
"""Characters that are kept of what a task says of its state."""
_NAME: Final = re.compile(r"[!-~]{1,200}", re.ASCII)


class TaskStatus(Enum):
    """The state of a task."""

    WORKING = "working"
    INPUT_REQUIRED = "input_required"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Returns whether the state is final."""
        return self not in {TaskStatus.WORKING, TaskStatus.INPUT_REQUIRED}


class TaskSupport(Enum):
    """Whether calls of a tool of 2025-11-25 can, may not, or must be tasks."""

    FORBIDDEN = "forbidden"
    OPTIONAL = "optional"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True, kw_only=True)
class McpTask:
    """One task, without its questions and its result."""

    name: str
    """`taskId`."""
    status: TaskStatus
    made: str
    """`createdAt`, as it was written."""
    updated: str
    """`lastUpdatedAt`, as it was written."""
    ttl: int | None
    """Milliseconds from its beginning for which it is there; None without end."""
    interval: int | None = None
    """Milliseconds after which to ask again; None where nothing is said."""
    words: str = ""
    """`statusMessage`."""


def parse_task(value: Mapping[str, JsonValue], *, modern: bool) -> McpTask:
    """Parses a task of either revision; raises BadMcpTaskError (rules 1 to 3).

    `value` is the result; in 2025-11-25, for a creation, the member `task` of it.
    """
    ttl, interval = ("ttlMs", "pollIntervalMs") if modern else ("ttl", "pollInterval")
    if ttl not in value:
        raise BadMcpTaskError(f"`{ttl}` is missing")
    words = value.get("statusMessage", "")
    if not isinstance(words, str):
        raise BadMcpTaskError("`statusMessage` is no text")
    return McpTask(
        name=parse_task_name(value.get("taskId")),
        status=_status(value.get("status")),
        made=_time(value.get("createdAt"), "createdAt"),
        updated=_time(value.get("lastUpdatedAt"), "lastUpdatedAt"),
        ttl=_span(value[ttl], ttl),
        interval=_span(value.get(interval), interval),
        words=words[:_MAX_WORDS],
    )


def parse_task_name(value: JsonValue) -> str:
    """Returns the name of a task; raises BadMcpTaskError (rule 2)."""
    if not isinstance(value, str) or _NAME.fullmatch(value) is None:
        raise BadMcpTaskError(f"`taskId` is no text of 1 to {MAX_TASK_NAME} printable characters of ASCII")
    return value


def parse_ttl(value: JsonValue) -> int | None:
    """Returns the milliseconds for which a client of 2025-11-25 wants its task kept; None if unstated.

    `value` is the member `task`. Raises BadMcpTaskError.
    """
    if not isinstance(value, dict) or not value.keys() <= {"ttl"}:
        raise BadMcpTaskError("`task` is an object with `ttl`, or without")
    if "ttl" in value and value["ttl"] is None:
        raise BadMcpTaskError("`ttl` is no number of milliseconds")
    return _span(value.get("ttl"), "ttl")


def task_members(task: McpTask, *, modern: bool) -> dict[str, JsonValue]:
    """Returns the members of a task for either revision; the inverse of `parse_task`."""
    ttl, interval = ("ttlMs", "pollIntervalMs") if modern else ("ttl", "pollInterval")
    found: dict[str, JsonValue] = {
        "createdAt": task.made,
        "lastUpdatedAt": task.updated,
        "status": task.status.value,
        "taskId": task.name,
        ttl: task.ttl,
    }
    if task.interval is not None:
        found[interval] = task.interval
    if task.words:
        found["statusMessage"] = task.words
    return found


def declares_tasks(capabilities: Mapping[str, JsonValue]) -> bool:
    """Returns whether these capabilities of 2026-07-28 declare the extension."""
    extensions = capabilities.get("extensions")
    return isinstance(extensions, dict) and isinstance(extensions.get(TASKS_EXTENSION), dict)


def support_of(definition: Mapping[str, JsonValue]) -> TaskSupport:
    """Returns the task support of a 2025-11-25 tool definition; forbidden if it states none."""
    execution = definition.get("execution")
    said = execution.get("taskSupport") if isinstance(execution, dict) else None
    return next((one for one in TaskSupport if one.value == said), TaskSupport.FORBIDDEN)


def _status(value: JsonValue) -> TaskStatus:
    for one in TaskStatus:
        if one.value == value:
            return one
    raise BadMcpTaskError("`status` is not one of MCP's")


def _time(value: JsonValue, member: str) -> str:
    if not isinstance(value, str) or len(value) > _MAX_TIME or not value.isascii() or not value.isprintable():
        raise BadMcpTaskError(f"`{member}` is no time")
    return value


def _span(value: JsonValue, member: str) -> int | None:
    """In JSON `1e3` and `1000.0` are the same number (rule 3)."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0 or value != int(value):
        raise BadMcpTaskError(f"`{member}` is no whole number of milliseconds")
    return min(int(value), MAX_SPAN)


PARTS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "elicitation": ("elicitation/create", ("form", "url")),
    "roots": ("roots/list", ()),
    "sampling": ("sampling/createMessage", ("context", "tools")),
}
"""Each capability with its question, and what it can say in parts."""


def capabilities(words: Collection[str]) -> bytes:
    """Returns these words as canonical capabilities (rule 2)."""
    found: dict[str, JsonValue] = {}
    for word, (_, parts) in PARTS.items():
        if word in words:
            said: dict[str, JsonValue] = {part: {} for part in parts if f"{word}/{part}" in words}
            found[word] = {} if said.keys() == {"form"} else said
    return canonical(found)


def are_offers(raw: bytes) -> bool:
    """Returns whether these bytes state some of the words, and nothing else (rule 2)."""
    try:
        said = msgspec.json.decode(raw, type=dict[str, dict[str, object]])
    except msgspec.DecodeError:
        return False
    words = {*said, *(f"{word}/{part}" for word, parts in said.items() for part in parts)}
    if said.get("elicitation") == {}:
        words.add("elicitation/form")  # what an empty capability has always meant
    return capabilities(words) == raw

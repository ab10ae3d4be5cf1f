"""MCP tasks and what a peer offers.

Of `task`:

It is not what Taskbound calls one (`core.task`), and gives no right.

1. In 2025-11-25 a client asks for it, by `task` in the parameters of the call; in 2026-07-28 a server may
   answer so, where the client has told that it knows the extension. The members are the same but for two
   names: `ttl` and `pollInterval` are `ttlMs` and `pollIntervalMs` later.
2. A name has 1 to 200 printable characters of ASCII without a space: it stands in a header, and in logs.
3. A status is one of MCP's five, times are texts, spans are whole milliseconds and not below zero. What else
   stands there passes unread; what is wrong is refused whole.

Of `offers`:

1. A kind of question, and the parts of it that MCP knows, are words: `elicitation`, `elicitation/form`,
   `elicitation/url`, `roots`, `sampling`, `sampling/context`, `sampling/tools`.
2. What is told are capabilities of these words and nothing else, in canonical bytes: one set of words has one
   text, so that nobody can say anything beside them.
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
    """A text holds a character at which some readers end a line: what follows could be read as a message."""

    code = "line-separator"
    remedy = "leave out U+0085, U+2028 and U+2029"


class BatchError(MalformedError):
    """An array of messages, which one decision can't be made for."""

    code = "batch"
    remedy = "send each message on a line of its own"


class NotAMessageError(MalformedError):
    """A JSON document that is no request, notification or response."""

    code = "not-a-message"
    remedy = "send JSON-RPC 2.0 requests and notifications"


class BadProtocolError(MalformedError):
    """The member `jsonrpc` is missing or is not the text `2.0`."""

    code = "bad-jsonrpc"
    remedy = 'send `"jsonrpc":"2.0"`'


class BadIdError(MalformedError):
    """An id that is no text and no whole number, so that others may read a notification or another id."""

    code = "bad-id"
    remedy = "use a text of at most 200 characters, or a whole number within 2^53 - 1 either way"


class UnknownMemberError(MalformedError):
    """A member stands beside those that a message has."""

    code = "unknown-member"
    remedy = "leave it out: it would not be part of what is decided"


class BadParamsError(MalformedError):
    """The parameters are not what the method takes."""

    code = "bad-params"
    remedy = "see the method in the MCP specification"


class BadMcpTaskError(MalformedError):
    """What is said of a task of MCP, which is not what Taskbound calls one, is not what MCP says."""

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
    """How far a task is."""

    WORKING = "working"
    INPUT_REQUIRED = "input_required"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing more becomes of it."""
        return self not in {TaskStatus.WORKING, TaskStatus.INPUT_REQUIRED}


class TaskSupport(Enum):
    """Whether calls of a tool of 2025-11-25 can be tasks, may be none, or have to be."""

    FORBIDDEN = "forbidden"
    OPTIONAL = "optional"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True, kw_only=True)
class McpTask:
    """One task, without what it waits for and what it brought."""

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
    """The task that these members say, of either revision (rules 1 to 3).

    Args:
        value: Of 2025-11-25 what stands under `task`, or the result itself where it is one; of 2026-07-28 the
            result.
        modern: Whether it is of 2026-07-28.

    Raises:
        BadMcpTaskError: It is none.
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
    """The name of a task (rule 2).

    Raises:
        BadMcpTaskError: It is none.
    """
    if not isinstance(value, str) or _NAME.fullmatch(value) is None:
        raise BadMcpTaskError(f"`taskId` is no text of 1 to {MAX_TASK_NAME} printable characters of ASCII")
    return value


def parse_ttl(value: JsonValue) -> int | None:
    """For how many milliseconds a client of 2025-11-25 wants its task kept, by what stands under `task`.

    Returns:
        None where it does not say.

    Raises:
        BadMcpTaskError: That is not what MCP has there.
    """
    if not isinstance(value, dict) or not value.keys() <= {"ttl"}:
        raise BadMcpTaskError("`task` is an object with `ttl`, or without")
    if "ttl" in value and value["ttl"] is None:
        raise BadMcpTaskError("`ttl` is no number of milliseconds")
    return _span(value.get("ttl"), "ttl")


def task_members(task: McpTask, *, modern: bool) -> dict[str, JsonValue]:
    """The members of a task as they are written in either revision; the way back of `parse_task`."""
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
    """Whether a side of 2026-07-28 that declares this knows the extension."""
    extensions = capabilities.get("extensions")
    return isinstance(extensions, dict) and isinstance(extensions.get(TASKS_EXTENSION), dict)


def support_of(definition: Mapping[str, JsonValue]) -> TaskSupport:
    """What a tool's definition of 2025-11-25 says of tasks; what says nothing that MCP knows forbids them."""
    execution = definition.get("execution")
    said = execution.get("taskSupport") if isinstance(execution, dict) else None
    return next((one for one in TaskSupport if one.value == said), TaskSupport.FORBIDDEN)


def _status(value: JsonValue) -> TaskStatus:
    for one in TaskStatus:
        if one.value == value:
            return one
    raise BadMcpTaskError("`status` is none that MCP knows")


def _time(value: JsonValue, member: str) -> str:
    if not isinstance(value, str) or len(value) > _MAX_TIME or not value.isascii() or not value.isprintable():
        raise BadMcpTaskError(f"`{member}` is no time")
    return value


def _span(value: JsonValue, member: str) -> int | None:
    """Whole milliseconds; `1e3` and `1000.0` are the same number in JSON (rule 3)."""
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
    """These words as capabilities, canonical (rule 2)."""
    found: dict[str, JsonValue] = {}
    for word, (_, parts) in PARTS.items():
        if word in words:
            said: dict[str, JsonValue] = {part: {} for part in parts if f"{word}/{part}" in words}
            found[word] = {} if said.keys() == {"form"} else said
    return canonical(found)


def are_offers(raw: bytes) -> bool:
    """Whether these bytes say some of the words, and nothing else (rule 2)."""
    try:
        said = msgspec.json.decode(raw, type=dict[str, dict[str, object]])
    except msgspec.DecodeError:
        return False
    words = {*said, *(f"{word}/{part}" for word, parts in said.items() for part in parts)}
    if said.get("elicitation") == {}:
        words.add("elicitation/form")  # what an empty capability has always meant
    return capabilities(words) == raw

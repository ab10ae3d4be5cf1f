"""What a server says of a task of its own (`wire.mcp.task`), and what one brought.

1. What is no task as MCP has it is believed in nothing. How long a server keeps one is not believed either:
   it is asked for until it is not known any more.
2. What a task brought is a result as any: that it is of a task is taken out of its `_meta`, and all other
   bytes are the server's. A task brings no other task, and asks in no other way than by its status.
3. A task of 2025-11-25 can fail by its status alone: what it brought may say nothing of it, or be nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.ports.upstream import Answered, Errored, NoAnswer, errored
from taskbound.wire.mcp.errors import BadMcpTaskError
from taskbound.wire.mcp.task import RELATED_KEY, McpTask, TaskStatus, parse_task
from taskbound.wire.mcp.write import text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.ports.upstream import UpstreamAnswer


_INTERNAL_ERROR: Final = -32603
_NOBODY: Final = ""
_Raws = dict[str, msgspec.Raw]


def is_task(value: Mapping[str, JsonValue], *, modern: bool) -> bool:
    """Whether a result is the name of a task, and no result."""
    if modern:
        return value.get("resultType") == "task"
    task = value.get("task")
    return isinstance(task, dict) and "taskId" in task


def made_by(value: Mapping[str, JsonValue], *, modern: bool) -> McpTask | NoAnswer:
    """The task that an answer to a call is (`is_task`), or why it can't be believed."""
    task = value if modern else value["task"]
    return _read(task if isinstance(task, dict) else {}, modern=modern)


def said_by(value: Mapping[str, JsonValue], name: str, *, modern: bool) -> McpTask | NoAnswer:
    """What an answer to a question about this task says, or why it can't be believed."""
    said = _read(value, modern=modern)
    if isinstance(said, McpTask) and said.name != name:
        return NoAnswer("other-task", "the server was asked about one task, and answers about another")
    return said


def _read(value: Mapping[str, JsonValue], *, modern: bool) -> McpTask | NoAnswer:
    try:
        return parse_task(value, modern=modern)
    except BadMcpTaskError as error:
        return _bad(error.message)


def _bad(words: str) -> NoAnswer:
    return NoAnswer("bad-task", f"what the server says of its task is not what MCP says: {words}")


def brought_by(found: Answered, status: TaskStatus) -> Answered | Errored | NoAnswer:
    """What a modern task that is over brought, from what is said of it, or why it can't be believed."""
    done = status is TaskStatus.COMPLETED
    member = "result" if done else "error"
    value = found.value.get(member)
    if not isinstance(value, dict):
        return _bad(f"one that is `{status.value}` has `{member}`")
    raw = bytes(msgspec.json.decode(found.raw, type=_Raws)[member])
    if done:
        return plain(Answered(raw, value))
    code, words = value.get("code"), value.get("message")
    if type(code) is not int or not isinstance(words, str):
        return _bad("an error has a code and a message")
    return Errored(raw, code, words)


def plain(found: Answered) -> Answered | NoAnswer:
    """A task's result as that of any call (rule 2)."""
    if is_task(found.value, modern=False) or found.value.get("resultType", "complete") != "complete":
        return _bad("its result is that of a call")
    meta = found.value.get("_meta")
    if not isinstance(meta, dict) or RELATED_KEY not in meta:
        return found
    raws = msgspec.json.decode(found.raw, type=_Raws)
    metas = msgspec.json.decode(raws.pop("_meta"), type=_Raws)
    del metas[RELATED_KEY]
    value = {key: one for key, one in found.value.items() if key != "_meta"}
    if metas:
        raws = {"_meta": msgspec.Raw(_object(metas)), **raws}
        value |= {"_meta": {key: one for key, one in meta.items() if key != RELATED_KEY}}
    return Answered(_object(raws), value)


def failed(found: Answered, words: str) -> UpstreamAnswer:
    """The result of a legacy task whose status is that it failed (rule 3), as that of a call that has.

    Args:
        found: What it brought (`plain`).
        words: The server's words for that.
    """
    value = found.value
    if value.get("isError") is True:
        return found
    if "isError" in value:
        return _bad("one that failed has no result that says that it did not")
    if "content" in value:
        return Answered(b'{"isError":true,%b' % found.raw.lstrip()[1:], value | {"isError": True})
    return errored(_INTERNAL_ERROR, words or "the task failed")


def _object(members: Mapping[str, msgspec.Raw]) -> bytes:
    return b"{%b}" % b",".join(b"%b:%b" % (text(key), bytes(one)) for key, one in members.items())


def asked_by(found: Answered) -> dict[str, bytes] | NoAnswer:
    """What a modern task waits for, by its keys, each byte for byte."""
    if not isinstance(found.value.get("inputRequests"), dict):
        return _bad("one that is `input_required` has `inputRequests`")
    inside = msgspec.json.decode(found.raw, type=_Raws)
    asked = msgspec.json.decode(inside["inputRequests"], type=_Raws)
    return {key: bytes(one) for key, one in asked.items()}


def related_in(params: Mapping[str, JsonValue]) -> str | None:
    """Which task a legacy server's message says that it belongs to; None where it says nothing of one."""
    meta = params.get("_meta")
    if not isinstance(meta, dict) or RELATED_KEY not in meta:
        return None
    related = meta[RELATED_KEY]
    name = related.get("taskId") if isinstance(related, dict) else None
    return name if isinstance(name, str) else _NOBODY


def of_task(raw: bytes, name: str) -> bytes:
    """An answer to a question of this task, which says so; `raw` is one canonical object without `_meta`."""
    meta = b'{"_meta":{%b:{"taskId":%b}}' % (text(RELATED_KEY), text(name))
    return meta + (b"}" if raw == b"{}" else b"," + raw[1:])

"""Whether a server's result can be believed: it is what MCP says, and imitates nothing of ours.

1. A result with a decision of ours in its `_meta` is none: only the gateway speaks for itself there.
2. What answers a method beside `tools/call` has the members that MCP gives it, each of its type. More may
   stand there, and passes as it came; whether a tool's result is what its schema says is its client's to see.
3. What answers a question of a server is what MCP says too, whoever answers it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.tool import QUESTION_NAMES
from taskbound.ports.upstream import NoAnswer
from taskbound.surfaces.gateway.asked.reading import wrong_answer
from taskbound.surfaces.gateway.eras import is_complete, is_imitation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action.canonical import JsonValue


_MAX_VALUES: Final = 100
"""Values of one completion (MCP, Completion)."""
_ROLES: Final = ("assistant", "user")


def doubt(own: str, result: Mapping[str, JsonValue]) -> NoAnswer | None:
    """Why this result can't be passed on, or nothing.

    Args:
        own: The tool that was called, or the method that was asked.
        result: What the server answered.
    """
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

"""Strict reading of server questions and of the answers that people give.

A question has exactly the parameters that MCP defines; without `_meta` they are the action's canonical
arguments. The gateway refuses hidden text (controls, bidi, tags, zero width) and a URL that isn't plain
http(s), has user information or contains non-ASCII characters; it never fetches a URL. The client sees what
was decided, after a label that no server can precede: the server's name and the statement that Taskbound
does not ask. An answer has exactly MCP's members, typed and bounded; no client `_meta` reaches a server.
The gateway does not detect forms that ask for secrets: their wording can't show it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec

from taskbound.core.action.canonical import canonical
from taskbound.core.action.errors import TooLargeError
from taskbound.core.action.text import TextKind, kinds_in
from taskbound.core.errors import DeniedError, MalformedError, UnavailableError
from taskbound.core.tool import MAX_URI, method_definition
from taskbound.wire.mcp.message import QUESTION_KEY, require_one_line
from taskbound.wire.mcp.task import RELATED_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from taskbound.core.action.canonical import JsonValue


class UnfitQuestionError(MalformedError):
    """The server asked a question that MCP doesn't define or that can't be shown as it is."""

    code = "unfit-question"
    remedy = "report this to the server's author; the question was not shown to any person"


class StrayQuestionError(DeniedError):
    """The server asked a question while no call to it was open."""

    code = "stray-question"
    remedy = "report this to the server's author: a server may ask only while it works on a call"


class AmbiguousQuestionError(DeniedError):
    """Several calls to the server are open, so the client to ask is ambiguous."""

    code = "ambiguous-question"
    remedy = "make one call to this server at a time"


class UnableClientError(DeniedError):
    """The client did not declare this kind of question, or can't be asked on this path."""

    code = "unable-client"
    remedy = "use a client that declares the capability and, over HTTP, takes streams of events"


class AsksTooOftenError(UnavailableError):
    """The server exceeded the number of questions that one call allows."""

    code = "asks-too-often"
    remedy = "make another call; if it stays so, ask the person who pinned the server to look at it"


class UnknownStateError(MalformedError):
    """The state sent with the answers is not an open state of this request."""

    code = "unknown-state"
    remedy = "send the request once more without `inputResponses` and `requestState`"


class BadAnswersError(MalformedError):
    """The answers don't match the questions."""

    code = "bad-answers"
    remedy = "answer each question by its key as MCP says; the state stays good until then"


MAX_QUESTION: Final = 262_144
"""Bytes of a question's canonical parameters."""
MAX_ANSWER: Final = 262_144
"""Bytes of an answer."""
_MAX_FIELDS: Final = 64
_HIDDEN: Final = frozenset({TextKind.BIDI, TextKind.CONTROL, TextKind.TAG, TextKind.ZERO_WIDTH})
_PLAIN: Final = frozenset({"boolean", "integer", "number", "string"})
_ROLES: Final = frozenset({"assistant", "user"})
_FORM: Final = frozenset({"message", "mode", "requestedSchema"})
_PAGE: Final = frozenset({"elicitationId", "message", "mode", "url"})


def read_question(method: str, params: Mapping[str, JsonValue]) -> bytes:
    """Returns the action's canonical arguments; raises UnfitQuestionError or MalformedError."""
    given = {name: value for name, value in params.items() if name != "_meta"}
    schema = method_definition(method).input_schema
    known, needed = schema.get("properties"), schema.get("required")
    if not isinstance(known, dict) or not given.keys() <= known.keys():
        raise UnfitQuestionError(f"`{method}` has parameters that MCP does not give it")
    if not isinstance(needed, list) or not all(name in given for name in needed):
        raise UnfitQuestionError(f"`{method}` lacks a parameter that MCP gives it")
    if any(kinds_in(text) & _HIDDEN for text in _texts(given)):
        raise UnfitQuestionError("the question holds characters that would hide something from its reader")
    match method:
        case "elicitation/create":
            _require_elicitation(given)
        case "sampling/createMessage":
            _require_sampling(given)
    written = canonical(given)
    if len(written) > MAX_QUESTION:
        raise UnfitQuestionError(f"the question has more than {MAX_QUESTION} bytes")
    return written


def labelled(method: str, arguments: bytes, *, server: str, action: str, task: str = "") -> bytes:
    """Returns the labelled parameters; `task` names the MCP task of 2025-11-25, or is empty."""
    members = msgspec.json.decode(arguments, type=dict[str, msgspec.Raw])
    asks = f"[The MCP server `{server}` asks this, not Taskbound]"
    if method == "elicitation/create":
        message = msgspec.json.decode(members["message"], type=str)
        if "url" in members:
            host = urlsplit(msgspec.json.decode(members["url"], type=str)).netloc
            asks = f"[The MCP server `{server}`, not Taskbound, asks you to open a page of `{host}`]"
        members["message"] = msgspec.Raw(canonical(f"{asks} {message}"))
    elif method == "sampling/createMessage":
        own = msgspec.json.decode(members["systemPrompt"], type=str) if "systemPrompt" in members else ""
        members["systemPrompt"] = msgspec.Raw(canonical(f"{asks} {own}".rstrip()))
    meta: dict[str, JsonValue] = {QUESTION_KEY: {"action": action, "server": server}}
    if task:
        meta[RELATED_KEY] = {"taskId": task}
    return _write({"_meta": msgspec.Raw(canonical(meta)), **members})


def answer_bytes(answer: Mapping[str, JsonValue]) -> bytes:
    """Returns a client's answer or error for the server, canonical, in one line."""
    written = canonical({name: value for name, value in answer.items() if name != "_meta"})
    require_one_line(written)
    if len(written) > MAX_ANSWER:
        raise TooLargeError(f"the client's answer has more than {MAX_ANSWER} bytes")
    return written


def wrong_answer(method: str, answer: Mapping[str, JsonValue]) -> str:
    """Returns what in the answer violates MCP, or ""."""
    match method:
        case "elicitation/create":
            return _wrong_elicited(answer)
        case "sampling/createMessage":
            content = answer.get("content")
            parts = content if isinstance(content, list) else [content]
            typed = all(isinstance(one, dict) and isinstance(one.get("type"), str) for one in parts)
            if answer.get("role") not in _ROLES or not isinstance(answer.get("model"), str) or not typed:
                return "it has no `role`, `model` and `content`"
        case "roots/list":
            roots = answer.get("roots")
            if not isinstance(roots, list) or not all(_is_root(one) for one in roots):
                return "`roots` is no list of folders, each with a `file` URI"
        case _:
            return "the gateway did not ask for it"
    return ""


def _wrong_elicited(answer: Mapping[str, JsonValue]) -> str:
    action, content = answer.get("action"), answer.get("content", {})
    if action not in {"accept", "cancel", "decline"}:
        return "`action` is neither `accept`, `decline` nor `cancel`"
    if not isinstance(content, dict) or not all(_is_field(one) for one in content.values()):
        return "`content` is no object of texts, numbers, truths and lists of texts"
    return "what was not accepted has content" if content and action != "accept" else ""


def _is_field(value: JsonValue) -> bool:
    if isinstance(value, list):
        return all(isinstance(one, str) for one in value)
    return isinstance(value, bool | int | float | str)


def _is_root(value: JsonValue) -> bool:
    uri = value.get("uri") if isinstance(value, dict) else None
    return isinstance(uri, str) and uri.startswith("file://") and len(uri) <= MAX_URI


def _require_elicitation(given: Mapping[str, JsonValue]) -> None:
    if not isinstance(given["message"], str):
        raise UnfitQuestionError("`message` is no text")
    if given.get("mode", "form") == "url":
        if not given.keys() <= _PAGE or not _is_plain_url(given.get("url")):
            raise UnfitQuestionError("a page to open has one plain `http` or `https` URL, and no form")
        return
    if given.get("mode", "form") != "form" or not given.keys() <= _FORM:
        raise UnfitQuestionError("`mode` is neither `form` nor `url`, or has what belongs to the other one")
    schema = given.get("requestedSchema")
    fields = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(schema, dict) or schema.get("type") != "object" or not isinstance(fields, dict):
        raise UnfitQuestionError("`requestedSchema` is no schema of an object with `properties`")
    if len(fields) > _MAX_FIELDS or not all(_is_form_field(one) for one in fields.values()):
        raise UnfitQuestionError(f"a form has at most {_MAX_FIELDS} fields, each of a plain type")


def _is_form_field(schema: JsonValue) -> bool:
    if not isinstance(schema, dict) or "properties" in schema or "$ref" in schema:
        return False
    if schema.get("type") == "array":
        items = schema.get("items")
        return isinstance(items, dict) and ("enum" in items or "anyOf" in items)
    return schema.get("type") in _PLAIN


def _is_plain_url(value: JsonValue) -> bool:
    if not isinstance(value, str) or len(value) > MAX_URI or not value.isascii() or not value.isprintable():
        return False
    if " " in value or "\\" in value:
        return False
    try:
        parts = urlsplit(value)
        known = bool(parts.hostname)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and known and "@" not in parts.netloc


def _require_sampling(given: Mapping[str, JsonValue]) -> None:
    messages, most = given["messages"], given["maxTokens"]
    if not isinstance(messages, list) or not messages or not all(_is_message(one) for one in messages):
        raise UnfitQuestionError("`messages` is no list of messages, each with role and content")
    if not isinstance(most, int) or isinstance(most, bool) or most < 1:
        raise UnfitQuestionError("`maxTokens` is no whole number above 0")
    if not isinstance(given.get("systemPrompt", ""), str):
        raise UnfitQuestionError("`systemPrompt` is no text")
    if given.get("includeContext", "none") not in {"allServers", "none", "thisServer"}:
        raise UnfitQuestionError("`includeContext` is nothing that MCP knows")


def _is_message(one: JsonValue) -> bool:
    return isinstance(one, dict) and one.get("role") in _ROLES and isinstance(one.get("content"), dict | list)


def _texts(value: JsonValue) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for name, one in value.items():
                yield name
                yield from _texts(one)
        case list():
            for one in value:
                yield from _texts(one)


def _write(members: Mapping[str, msgspec.Raw]) -> bytes:
    return b"{%b}" % b",".join(b"%b:%b" % (canonical(name), bytes(raw)) for name, raw in members.items())

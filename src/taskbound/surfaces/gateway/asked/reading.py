"""Answers of people to servers' questions, read strictly.

1. A question has the parameters that MCP gives it and no others; without `_meta` they are the action's
   arguments, in canonical bytes: every default, number and choice of a form stands as the server sent it.
2. What would hide something from its reader (controls, bidi, tags, what has no width) is not shown as
   something else: the question is refused. So is a URL that is not plain: not http(s), with a user in it, or
   beyond ASCII. Nothing here ever fetches one.
3. What is shown is what was decided but for a label, which stands first and which no server can put
   before: a message (and a system prompt, which people see before they let a model answer) begins with the
   name of the server and with the words that it is not Taskbound that asks. `_meta` says so to programs.
4. An answer has the members that MCP gives it, each of its type, and is of bounded size; nothing of a
   client's `_meta` goes to a server.
5. That a form asks for a secret can't be told from its words. Nobody here tries.
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
    """A server asks what MCP has no question for, or what can't be shown as it is."""

    code = "unfit-question"
    remedy = "tell whoever wrote the server; nothing was shown to anyone"


class StrayQuestionError(DeniedError):
    """A server asks while no call to it is open, so that it has nobody to ask."""

    code = "stray-question"
    remedy = "tell whoever wrote the server: it may ask while it works on a call, and no longer"


class AmbiguousQuestionError(DeniedError):
    """Several calls to the server are open, and nothing says for which of their clients the question is."""

    code = "ambiguous-question"
    remedy = "make one call to this server at a time"


class UnableClientError(DeniedError):
    """The client has not said that it can answer such a question, or can't be asked on this call's way."""

    code = "unable-client"
    remedy = "use a client that declares the capability and, over HTTP, takes streams of events"


class AsksTooOftenError(UnavailableError):
    """A server asks more than one call is worth."""

    code = "asks-too-often"
    remedy = "make another call; if it stays so, ask the person who pinned the server to look at it"


class UnknownStateError(MalformedError):
    """The state that came with answers is none that was given out for this request and is still open."""

    code = "unknown-state"
    remedy = "send the request once more without `inputResponses` and `requestState`"


class BadAnswersError(MalformedError):
    """What came as answers does not answer what was asked."""

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
    """The canonical arguments of the action that a question is (rules 1 and 2).

    Raises:
        UnfitQuestionError: It is none that can be asked.
        MalformedError: It has no canonical bytes.
    """
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
    """The parameters as the client gets them (rule 3).

    Args:
        method: What is asked.
        arguments: The canonical bytes that were decided.
        server: The name of the server that asks.
        action: The id of the action that the question is.
        task: The name of the MCP task of 2025-11-25 that it is for; empty where it is for none.
    """
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
    """A client's answer or error as it goes to the server: canonical, in one line, without `_meta` (rule 4).

    Raises:
        MalformedError: It has no such bytes, or too many.
    """
    written = canonical({name: value for name, value in answer.items() if name != "_meta"})
    require_one_line(written)
    if len(written) > MAX_ANSWER:
        raise TooLargeError(f"the client's answer has more than {MAX_ANSWER} bytes")
    return written


def wrong_answer(method: str, answer: Mapping[str, JsonValue]) -> str:
    """What of an answer is not what MCP says, or nothing (rule 4)."""
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
            return "nobody asked for it"
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
    """Whether a field is what MCP has in forms: a plain type, or a list of choices."""
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
    """Every text in a value, names of members too."""
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
    """The members, each with the bytes that it came with."""
    return b"{%b}" % b",".join(b"%b:%b" % (canonical(name), bytes(raw)) for name, raw in members.items())

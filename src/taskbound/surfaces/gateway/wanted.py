"""What a request asks for that is to be an action: its parameters, strictly read.

1. A request has the parameters that MCP gives it and no others; texts are texts, and within bounds.
2. The action's arguments are the parameters without `_meta`, in canonical bytes. A prompt is named as it is
   listed, `server__name`; upstream goes the server's own name, and that is what is decided.
3. A name of a prompt follows the rules of a tool's: no look-alikes beyond ASCII, one way to split it.
4. Answers that come without a state of ours answer nothing that was asked: none of them goes anywhere.
"""

from __future__ import annotations

from dataclasses import field
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import canonical
from taskbound.core.dataclass import dataclass
from taskbound.core.tool import MAX_URI, SEPARATOR, parse_own_name, parse_server_name
from taskbound.wire.mcp.errors import BadParamsError
from taskbound.wire.mcp.line import require_one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action.canonical import JsonValue


_MAX_TEXTS: Final = 100
_AGAIN: Final = frozenset({"inputResponses", "requestState"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One request that is to be an action."""

    method: str
    """Of `core.tool.METHOD_NAMES`."""
    server: str
    """Whose it is, where it says so itself; empty where that has to be found by its URI."""
    uri: str
    """The URI, or the template that it completes; empty where it is about a prompt."""
    shown: tuple[str, str]
    """Which parameter says what is asked for, and what it says: for the answer that it is not there."""
    arguments: bytes
    """Canonical: what is decided, and what is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """A request of a modern client, and the answers that it brings to what it was asked before."""

    params: Mapping[str, JsonValue]
    """Without what follows."""
    state: str | None = None
    """None where it names no state: then it is a first request, whatever it answers (rule 4)."""
    answers: Mapping[str, JsonValue] = field(default_factory=dict)

    @classmethod
    def of(cls, params: Mapping[str, JsonValue], *, modern: bool) -> Again:
        """What these parameters say.

        Raises:
            BadParamsError: Answers or state are not what MCP has there.
        """
        if not modern or not params.keys() & _AGAIN:
            return cls(params=params)
        answers = _object(params.get("inputResponses", {}), "`inputResponses`")
        state = _text(params["requestState"], "`requestState`") if "requestState" in params else None
        rest = {name: value for name, value in params.items() if name not in _AGAIN}
        return cls(params=rest, state=state, answers=answers if state is not None else {})


def digest_of(method: str, name: str, key: str, arguments: bytes) -> bytes:
    """What makes two requests the same one, in 32 bytes: all of it but ids and `_meta`."""
    return sha256(canonical([method, name, key]) + arguments).digest()


def read_call(params: Mapping[str, JsonValue]) -> tuple[str, bytes]:
    """The tool's name and the canonical arguments of a `tools/call`.

    Raises:
        MalformedError: The parameters are not those of a call.
    """
    _require_only(params, "name", "arguments", of="`tools/call`")
    name = _text(params.get("name"), "`name`")
    written = canonical(_object(params.get("arguments", {}), "`arguments`"))
    require_one_line(written)
    return name, written


def read_wanted(method: str, params: Mapping[str, JsonValue]) -> Wanted:
    """The action that these parameters ask for.

    Raises:
        BadParamsError: They are not those of this method (rule 1).
        MalformedError: A prompt's name is none (rule 3).
    """
    match method:
        case "resources/read" | "resources/subscribe":
            _require_only(params, "uri", of=method)
            uri = _uri(params.get("uri"), "`uri`")
            return _wanted(method, {"uri": uri}, uri=uri, shown=("uri", uri))
        case "prompts/get":
            _require_only(params, "name", "arguments", of=method)
            name = _text(params.get("name"), "`name`")
            server, own = parse_prompt_name(name)
            arguments: dict[str, JsonValue] = {"name": own}
            if "arguments" in params:
                arguments["arguments"] = _texts(params["arguments"], "`arguments`")
            return _wanted(method, arguments, server=server, shown=("name", name))
        case _:
            return _completion(method, params)


def parse_prompt_name(name: str) -> tuple[str, str]:
    """The server's name, and what the server calls the prompt (rule 3).

    Raises:
        MalformedError: It is no `server__name`.
    """
    server, mark, own = name.partition(SEPARATOR)
    if not mark:
        raise BadParamsError("a prompt's name is `server__name`, as it is listed")
    return parse_server_name(server), parse_own_name(own)


def join_prompt_name(server: str, own: str) -> str:
    """The name under which a prompt is listed; raises as `parse_prompt_name`."""
    return f"{server}{SEPARATOR}{parse_own_name(own)}"


def _completion(method: str, params: Mapping[str, JsonValue]) -> Wanted:
    _require_only(params, "argument", "context", "ref", of=method)
    ref = _object(params.get("ref"), "`ref`")
    argument = _object(params.get("argument"), "`argument`")
    _require_only(argument, "name", "value", of="`argument`")
    arguments: dict[str, JsonValue] = {
        "argument": {
            "name": _text(argument.get("name"), "`argument.name`"),
            "value": _text(argument.get("value"), "`argument.value`"),
        }
    }
    if "context" in params:
        context = _object(params["context"], "`context`")
        _require_only(context, "arguments", of="`context`")
        known = {name: _texts(value, f"`context.{name}`") for name, value in context.items()}
        arguments["context"] = dict(known)
    match ref.get("type"):
        case "ref/prompt":
            _require_only(ref, "type", "name", of="`ref`")
            name = _text(ref.get("name"), "`ref.name`")
            server, own = parse_prompt_name(name)
            arguments["ref"] = {"name": own, "type": "ref/prompt"}
            return _wanted(method, arguments, server=server, shown=("name", name))
        case "ref/resource":
            _require_only(ref, "type", "uri", of="`ref`")
            uri = _uri(ref.get("uri"), "`ref.uri`")
            arguments["ref"] = {"type": "ref/resource", "uri": uri}
            return _wanted(method, arguments, uri=uri, shown=("uri", uri))
        case _:
            raise BadParamsError("`ref.type` is neither `ref/prompt` nor `ref/resource`")


def _wanted(
    method: str,
    arguments: dict[str, JsonValue],
    *,
    shown: tuple[str, str],
    server: str = "",
    uri: str = "",
) -> Wanted:
    written = canonical(arguments)
    require_one_line(written)
    return Wanted(method=method, server=server, uri=uri, shown=shown, arguments=written)


def _require_only(found: Mapping[str, JsonValue], *names: str, of: str) -> None:
    if not found.keys() <= {"_meta", *names}:
        raise BadParamsError(f"{of} takes {', '.join(names)}, and nothing else")


def _object(value: JsonValue, what: str) -> dict[str, JsonValue]:
    if not isinstance(value, dict):
        raise BadParamsError(f"{what} is no object")
    return value


def _text(value: JsonValue, what: str) -> str:
    if not isinstance(value, str):
        raise BadParamsError(f"{what} is no text")
    return value


def _uri(value: JsonValue, what: str) -> str:
    text = _text(value, what)
    if not text or len(text) > MAX_URI:
        raise BadParamsError(f"{what} has 1 to {MAX_URI} characters")
    return text


def _texts(value: JsonValue, what: str) -> dict[str, JsonValue]:
    found = _object(value, what)
    if len(found) > _MAX_TEXTS:
        raise BadParamsError(f"{what} has more than {_MAX_TEXTS} members")
    return {name: _text(one, f"a member of {what}") for name, one in found.items()}

"""What a server can be asked for beside its tools, and what it may ask, as tools whose definitions are ours.

1. Each request to a server is an action. One that is no `tools/call` has the tool `SERVER__METHOD`, and its
   arguments are the request's parameters without `_meta`.
2. The definitions are written here, not by servers: what a method takes is said by MCP. They are pinned with
   a server that declares the capability, and from then on treated as any tool's.
3. What a server is asked for only reads, by what MCP says of it. Whether a server keeps to that nobody knows:
   the world is open.
4. A question of a server is an action of the agent's too: it tells that server what a person, or the client's
   model, says, and that can't be taken back. So it has the worst effect, each time. It is pinned where the
   person who pins the server says that it may ask so.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import canonical
from taskbound.core.tool.definition import ToolDefinition, parse_definition
from taskbound.core.tool.errors import BadToolNameError
from taskbound.core.tool.name import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action.canonical import JsonValue

    Schema = dict[str, JsonValue]


_TEXT: Final[Schema] = {"type": "string"}
_TEXTS: Final[Schema] = {"additionalProperties": _TEXT, "type": "object"}


def _object(properties: Mapping[str, JsonValue], *required: str) -> Schema:
    return {
        "additionalProperties": False,
        "properties": dict(properties),
        "required": list(required),
        "type": "object",
    }


_ANYTHING: Final[Schema] = {"type": "object"}
_LIST: Final[Schema] = {"type": "array"}
_NUMBER: Final[Schema] = {"type": "number"}

_METHODS: Final[Mapping[str, tuple[str, Schema]]] = {
    "completion/complete": (
        "Proposes values for an argument of a prompt or of a resource template.",
        _object(
            {
                "argument": _object({"name": _TEXT, "value": _TEXT}, "name", "value"),
                "context": _object({"arguments": _TEXTS}),
                "ref": _object(
                    {"name": _TEXT, "type": {"enum": ["ref/prompt", "ref/resource"]}, "uri": _TEXT}, "type"
                ),
            },
            "argument",
            "ref",
        ),
    ),
    "prompts/get": (
        "Gives the messages of a prompt.",
        _object({"arguments": _TEXTS, "name": _TEXT}, "name"),
    ),
    "resources/read": ("Gives what stands under a URI.", _object({"uri": _TEXT}, "uri")),
    "resources/subscribe": ("Tells when what stands under a URI changes.", _object({"uri": _TEXT}, "uri")),
}
_QUESTIONS: Final[Mapping[str, tuple[str, Schema]]] = {
    "elicitation/create": (
        "The server asks the person: to fill in a form, or to open a URL.",
        _object(
            {
                "elicitationId": _TEXT,
                "message": _TEXT,
                "mode": {"default": "form", "enum": ["form", "url"]},
                "requestedSchema": _ANYTHING,
                "url": _TEXT,
            },
            "message",
        ),
    ),
    "roots/list": ("The server asks for the folders that the client works in.", _object({})),
    "sampling/createMessage": (
        "The server asks the client's model.",
        _object(
            {
                "includeContext": {"default": "none", "enum": ["allServers", "none", "thisServer"]},
                "maxTokens": _NUMBER,
                "messages": _LIST,
                "metadata": _ANYTHING,
                "modelPreferences": _ANYTHING,
                "stopSequences": _LIST,
                "systemPrompt": _TEXT,
                "temperature": _NUMBER,
                "toolChoice": _ANYTHING,
                "tools": _LIST,
            },
            "maxTokens",
            "messages",
        ),
    ),
}


@cache
def method_definition(name: str) -> ToolDefinition:
    """The definition of a method, under its own name.

    Raises:
        BadToolNameError: There is no such method (`name.RESERVED_NAMES`).
    """
    hints: dict[str, JsonValue] = {"idempotentHint": True, "readOnlyHint": True}
    if name in _QUESTIONS:
        description, schema = _QUESTIONS[name]
        hints = {"idempotentHint": False, "openWorldHint": True}  # 4
    elif name in _METHODS:
        description, schema = _METHODS[name]
    else:
        raise BadToolNameError(f"`{shown(name)}` is nothing that a server is asked for beside its tools")
    return parse_definition(
        canonical(
            {
                "annotations": hints,
                "description": description,
                "inputSchema": schema,
                "name": name,
            }
        )
    )

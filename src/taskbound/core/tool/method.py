"""What a server can be asked for beside its tools, each as a tool whose definition is ours.

1. Each request to a server is an action. One that is no `tools/call` has the tool `SERVER__METHOD`, and its
   arguments are the request's parameters without `_meta`.
2. The definitions are written here, not by servers: what a method takes is said by MCP. They are pinned with
   a server that declares the capability, and from then on treated as any tool's.
3. Each only reads, by what MCP says of it. Whether a server keeps to that nobody knows: the world is open.
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

__all__ = ["method_definition"]

_TEXT: Final[Schema] = {"type": "string"}
_TEXTS: Final[Schema] = {"additionalProperties": _TEXT, "type": "object"}


def _object(properties: Mapping[str, JsonValue], *required: str) -> Schema:
    return {
        "additionalProperties": False,
        "properties": dict(properties),
        "required": list(required),
        "type": "object",
    }


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


@cache
def method_definition(name: str) -> ToolDefinition:
    """The definition of a method, under its own name.

    Raises:
        BadToolNameError: There is no such method (`name.METHOD_NAMES`).
    """
    if name not in _METHODS:
        raise BadToolNameError(f"`{shown(name)}` is nothing that a server is asked for beside its tools")
    description, schema = _METHODS[name]
    return parse_definition(
        canonical(
            {
                "annotations": {"idempotentHint": True, "readOnlyHint": True},
                "description": description,
                "inputSchema": schema,
                "name": name,
            }
        )
    )

"""The JSON Schema of tool files, for editors.

1. ``parse`` alone says what a tool file is. The schema refuses nothing that ``parse`` takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.tool.definition import MAX_TOOLS, Effect
from taskbound.core.tool.file.package import REGISTRIES, RELEASE
from taskbound.core.tool.file.parse import MAX_LINES, OUTCOMES, PATTERN
from taskbound.core.tool.file.role import Role

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue


_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_OUTCOME: Final[dict[str, JsonValue]] = {
    "description": "Whether what comes of a call is told. Of unwatched ones AuthZEN alone asks.",
    "enum": [*OUTCOMES],
}


def tool_file_schema() -> dict[str, JsonValue]:
    """The schema of a whole tool file."""
    tool: dict[str, JsonValue] = {
        "description": "What is declared of one tool. What is not said stays as it is.",
        "type": "object",
        "properties": {
            "effect": {
                "description": "What a call may do to the world. Less than the server says relaxes.",
                "enum": [one.value for one in Effect],
            },
            "roles": {
                "description": "What each argument is for. All that is said of this tool's arguments.",
                "type": "object",
                "additionalProperties": {"enum": [one.value for one in Role]},
                "maxProperties": MAX_LINES,
            },
            "idempotent": {
                "description": "Whether a repeated call has no further effect.",
                "type": "boolean",
            },
            "probes": _texts("What arguments name that can change, such as `bill=file:/srv/bills`."),
            "checks": _texts("What shows whether a call had its effect, such as `60:bill=row:…`."),
            "owner": _text("The person who answers for it: without one, what acts is refused."),
            "approvers": _texts("The persons who approve for it."),
            "outcome": _OUTCOME,
            "slots": _texts("Its arguments that hold a secret: no agent gives them, the egress fills them."),
        },
        "additionalProperties": False,
    }
    return {
        "$schema": _DIALECT,
        "title": "Taskbound tool file",
        "description": "What people declare of the tools of one server.",
        "type": "object",
        "properties": {
            "server": {
                "description": "The server's name; `*` stands for any characters.",
                "type": "string",
                "pattern": f"^{PATTERN}$",
            },
            "package": _package(),
            "shareable": {
                "description": "Whether its process may go on from one task of a connection to the next.",
                "type": "boolean",
            },
            "slots": _texts("Where secrets of the server go, such as `environment:TOKEN`; part of its pin."),
            "tools": {
                "description": "By name, as the server names them.",
                "type": "object",
                "additionalProperties": {"$ref": "#/$defs/tool"},
                "minProperties": 1,
                "maxProperties": MAX_TOOLS,
            },
        },
        "required": ["server", "tools"],
        "additionalProperties": False,
        "$defs": {"tool": tool},
    }


def _package() -> JsonValue:
    release: JsonValue = {"type": "string", "pattern": f"^{RELEASE}$"}
    return {
        "description": "Releases of a package; the file is for no server of others.",
        "type": "object",
        "properties": {
            "registry": {"enum": list(REGISTRIES)},
            "name": {"type": "string", "minLength": 1},
            "from": release,
            "before": release,
        },
        "required": ["registry", "name", "from", "before"],
        "additionalProperties": False,
    }


def _text(description: str) -> JsonValue:
    return {"description": description, "type": "string", "minLength": 1}


def _texts(description: str) -> JsonValue:
    return {
        "description": description,
        "type": "array",
        "items": {"type": "string", "minLength": 1},
        "maxItems": MAX_LINES,
    }

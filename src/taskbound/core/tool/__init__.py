"""What an agent can call: the server that it is pinned to, its definition, its name, its effect."""

from __future__ import annotations

from taskbound.core.tool.definition import (
    DEFINITION_VERSION,
    MAX_DEFINITION,
    MAX_DEFINITIONS,
    MAX_TOOLS,
    Effect,
    ToolDefinition,
    parse_definition,
    parse_definitions,
)
from taskbound.core.tool.difference import (
    Comparison,
    Gone,
    Same,
    SchemaChanged,
    TextChanged,
    compare,
    compare_list,
)
from taskbound.core.tool.errors import (
    BadDefinitionError,
    BadServerError,
    BadServerNameError,
    BadToolNameError,
    DuplicateToolError,
    ForeignCharacterError,
    LookAlikeToolError,
    RemoteReferenceError,
    TooManyToolsError,
)
from taskbound.core.tool.identity import IDENTITY_VERSION, PinnedFile, ServerIdentity
from taskbound.core.tool.name import (
    MAX_SERVER_NAME,
    MAX_TOOL_NAME,
    SEPARATOR,
    join_tool_name,
    parse_server_name,
    parse_tool_name,
    require_distinct,
)

__all__ = [
    "DEFINITION_VERSION",
    "IDENTITY_VERSION",
    "MAX_DEFINITION",
    "MAX_DEFINITIONS",
    "MAX_SERVER_NAME",
    "MAX_TOOLS",
    "MAX_TOOL_NAME",
    "SEPARATOR",
    "BadDefinitionError",
    "BadServerError",
    "BadServerNameError",
    "BadToolNameError",
    "Comparison",
    "DuplicateToolError",
    "Effect",
    "ForeignCharacterError",
    "Gone",
    "LookAlikeToolError",
    "PinnedFile",
    "RemoteReferenceError",
    "Same",
    "SchemaChanged",
    "ServerIdentity",
    "TextChanged",
    "TooManyToolsError",
    "ToolDefinition",
    "compare",
    "compare_list",
    "join_tool_name",
    "parse_definition",
    "parse_definitions",
    "parse_server_name",
    "parse_tool_name",
    "require_distinct",
]

"""Tool files: declarations about a server's tools in one document."""

from __future__ import annotations

from taskbound.core.tool.file.describe import Change, Declared, change_of_sharing, changes, digest_of
from taskbound.core.tool.file.parse import (
    OUTCOMES,
    UNWATCHED,
    BadRoleError,
    Role,
    ToolFile,
    ToolFileError,
    ToolSays,
    parse_roles,
    parse_tool_file,
    role_text,
)

__all__ = [
    "OUTCOMES",
    "UNWATCHED",
    "BadRoleError",
    "Change",
    "Declared",
    "Role",
    "ToolFile",
    "ToolFileError",
    "ToolSays",
    "change_of_sharing",
    "changes",
    "digest_of",
    "parse_roles",
    "parse_tool_file",
    "role_text",
]

"""Tool files: declarations about a server's tools in one document."""

from __future__ import annotations

from taskbound.core.tool.file.describe import Change, Declared, change_of_sharing, changes, digest_of
from taskbound.core.tool.file.parse import (
    UNWATCHED,
    BadRoleError,
    Role,
    ToolFile,
    ToolFileError,
    parse_roles,
    parse_tool_file,
    role_text,
)

__all__ = [
    "UNWATCHED",
    "BadRoleError",
    "Change",
    "Declared",
    "Role",
    "ToolFile",
    "ToolFileError",
    "change_of_sharing",
    "changes",
    "digest_of",
    "parse_roles",
    "parse_tool_file",
    "role_text",
]

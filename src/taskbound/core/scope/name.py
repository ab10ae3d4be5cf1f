"""The one shape of a tool's name, ``server__tool``, which splits in exactly one way.

1. The whole name has at most 128 characters, all of them ASCII.
2. *server* has lower-case letters, digits, ``-`` and single ``_``; it begins with a
   letter or digit and doesn't end with ``_``. So the first ``__`` ends it.
3. *tool* is what the server calls it: letters, digits, ``_``, ``-`` and ``.``, the set of
   MCP 2025-11-25, Tools, Tool Names; it doesn't begin with ``-`` or ``.``. Case matters.
"""

from __future__ import annotations

import re
from typing import ClassVar

from taskbound.core.errors import MalformedError
from taskbound.core.scope.show import quote

__all__ = ["MAX_TOOL_NAME", "ToolNameError", "parse_tool_name"]

MAX_TOOL_NAME = 128
_TOOL_NAME = re.compile(r"([a-z0-9](?:_?[a-z0-9-])*)__([A-Za-z0-9_][A-Za-z0-9_.-]*)")


class ToolNameError(MalformedError):
    """The text is not one ``server__tool`` name."""

    code: ClassVar[str] = "tool-name"
    remedy: ClassVar[str] = (
        "write `server__tool`: the server in a-z 0-9 - and single _, the tool in A-Z a-z 0-9 _ - ."
    )


def parse_tool_name(text: str) -> tuple[str, str]:
    """The server's name and the tool's own.

    Raises:
        ToolNameError: The text is not one ``server__tool`` name.
    """
    if len(text) > MAX_TOOL_NAME:  # rule 1
        raise ToolNameError(f"a tool name has at most {MAX_TOOL_NAME} characters, not {len(text)}")
    found = _TOOL_NAME.fullmatch(text)  # rules 2 and 3; never `match` with `$`, which lets a line end pass
    if found is None:
        raise ToolNameError(f"`{quote(text)}` is not a tool name of the shape `server__tool`")
    return found[1], found[2]

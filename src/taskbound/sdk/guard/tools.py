"""The definitions of guarded functions, as a file that a person pins them by.

A file is one server's: a list of tool objects, as MCP has them. `taskbound tool pin` pins a program's.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Protocol

from taskbound.core.action.canonical import canonical
from taskbound.core.errors import MalformedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from taskbound.core.action.canonical import JsonValue


class BadToolsError(MalformedError):
    """A program has no guarded functions of one server."""

    code = "bad-tools"
    remedy = "guard its functions with one `server=`, or name one of its servers (`--server`)"


class Definable(Protocol):
    """A guarded function."""

    @property
    def server(self) -> str:
        """What stands before `__` in its tool's name."""

    @property
    def definition(self) -> Mapping[str, JsonValue]:
        """The tool object."""


def definition_digest(definition: Mapping[str, JsonValue]) -> str:
    """The digest by which a tool object is pinned.

    Raises:
        MalformedError: It can't be pinned.
    """
    from taskbound.core.tool.definition import parse_definition  # noqa: PLC0415 -- of a call, not of a guard

    return parse_definition(canonical(dict(definition))).digest


def tool_file(functions: Iterable[Definable]) -> str:
    """The file of these functions.

    Raises:
        BadToolsError: They are none, or of several servers.
    """
    some = list(functions)
    servers = sorted({one.server for one in some})
    if len(servers) != 1:
        raise BadToolsError(f"these are functions of {', '.join(servers) or 'no server'}")
    return json.dumps([dict(one.definition) for one in some], ensure_ascii=True, indent=2) + "\n"

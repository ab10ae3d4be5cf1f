"""The tool file by which a person pins a server's guarded functions (`taskbound tool pin`)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Protocol

from taskbound.core.action.canonical import canonical
from taskbound.core.errors import MalformedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from taskbound.core.action.canonical import JsonValue


class BadToolsError(MalformedError):
    """There are no guarded functions, or they belong to several servers."""

    code = "bad-tools"
    remedy = "guard its functions with one `server=`, or name one of its servers (`--server`)"


class Definable(Protocol):
    """A guarded function."""

    @property
    def server(self) -> str:
        """Returns the part before `__` in its tool's name."""

    @property
    def definition(self) -> Mapping[str, JsonValue]:
        """Returns the tool object."""


def definition_digest(definition: Mapping[str, JsonValue]) -> str:
    """Returns the digest by which a tool object is pinned; raises MalformedError."""
    from taskbound.core.tool.definition import parse_definition  # noqa: PLC0415 -- of a call, not of a guard

    return parse_definition(canonical(dict(definition))).digest


def tool_file(functions: Iterable[Definable]) -> str:
    """Returns the tool file of these functions; raises BadToolsError."""
    some = list(functions)
    servers = sorted({one.server for one in some})
    if len(servers) != 1:
        raise BadToolsError(f"these are functions of {', '.join(servers) or 'no server'}")
    return json.dumps([dict(one.definition) for one in some], ensure_ascii=True, indent=2) + "\n"

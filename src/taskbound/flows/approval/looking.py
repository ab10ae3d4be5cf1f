"""Looking at what a held call names, before it is asked about and before an approval of it is used.

1. Only what policy holds is looked at, and only by this process: what a gateway says of a file is believed by
   nobody, since it runs beneath the agent.
2. What can't be looked at is kept as the error that it is: nobody is asked, and what was asked is over.
3. A relative path starts where the pinned server runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from taskbound.core.action import parse_object
from taskbound.core.approval import looks_of, parse_probes
from taskbound.core.errors import DeniedError, MalformedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action import JsonValue
    from taskbound.core.approval import Operand
    from taskbound.core.errors import TaskboundError
    from taskbound.ports.approval import Operands
    from taskbound.ports.tool import PinnedServer, PinnedTool

__all__ = ["Seen", "look_at"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was found behind the arguments of a call, or why it can't be looked at."""

    operands: tuple[Operand, ...] = ()
    blocked: TaskboundError | None = None


def look_at(
    disk: Operands,
    tool: PinnedTool,
    server: PinnedServer,
    arguments: Mapping[str, JsonValue],
    defaults: Mapping[str, JsonValue],
) -> Seen:
    """What is behind the arguments that a person declared of this tool (rules 1 and 2)."""
    if not tool.probes:
        return Seen()
    try:
        looks = looks_of(parse_probes(tool.probes), arguments, defaults, directory=_directory(server))
        return Seen(operands=disk.look(looks))
    except (DeniedError, MalformedError) as error:
        return Seen(blocked=error)


def _directory(server: PinnedServer) -> str:
    """Where the pinned server runs (rule 3)."""
    found = parse_object(server.spec).get("directory", "/")
    return found if isinstance(found, str) else "/"

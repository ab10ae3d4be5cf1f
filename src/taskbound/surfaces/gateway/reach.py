"""Asking the daemon which calls the scope of the task covers, a bounded number at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec

from taskbound.wire.tool import CoverCalls, Coverings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.surfaces.gateway.link import Link


MOST_CALLS: Final = 100
"""Calls of one question."""


async def covered_among(
    link: Link, tool: str, calls: Sequence[bytes], *, how: Literal["whole", "begun", "template"]
) -> list[int]:
    """The places of the calls of this tool that the task's scope covers now.

    Args:
        link: The daemon.
        tool: The tool.
        calls: The arguments of each.
        how: As in `wire.tool.CoverCalls`.

    Raises:
        TaskboundError: The daemon does not say.
    """
    found: list[int] = []
    for start in range(0, len(calls), MOST_CALLS):
        some = tuple(map(msgspec.Raw, calls[start : start + MOST_CALLS]))
        answer = await link.ask(CoverCalls(tool=tool, calls=some, how=how), Coverings)
        found += [start + place for place in answer.covered if 0 <= place < len(some)]
    return found

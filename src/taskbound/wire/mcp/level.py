"""How grave a log message is: MCP's closed list of levels, which is that of syslog (RFC 5424, 6.2.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable


LEVELS: Final = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
"""From the least grave to the gravest."""
SILENT: Final = ""
"""The level of whoever wants to hear of nothing."""
_RANKS: Final = {name: rank for rank, name in enumerate(LEVELS)}


def least(levels: Iterable[str]) -> str:
    """The level from which a server has to log to serve each of these; `SILENT` if none wants any."""
    return min((one for one in levels if one), key=_RANKS.__getitem__, default=SILENT)


def reaches(level: str, floor: str) -> bool:
    """Whether a message of this level is for who asked from `floor` on; nothing is for who asked for none."""
    return floor in _RANKS and level in _RANKS and _RANKS[level] >= _RANKS[floor]

"""What a person declares of a tool that shows whether a call whose outcome is unknown had its effect (law 7).

1. `SECONDS:ARGUMENT=row:PLACE`: the effect of a call is a row there whose key the argument holds. Where
   there is none, so many seconds after the last attempt was lost, there was no effect.
2. The seconds are how long a call may still take to have its effect when nobody waits for its answer any
   more: at least as long as a permit can wait to be used, at most a day. Before that nothing is shown by a
   row that is not there.
3. Every check has to find nothing. One that finds something shows that the effect is there; what can't be
   looked at shows nothing, whatever the others find.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Final

from taskbound.core.approval.errors import BadProbeError
from taskbound.core.approval.operand import NO_ROW, Operand, ProbeKind
from taskbound.core.approval.probe import Probe, parse_probes
from taskbound.core.clock import Instant
from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

    from taskbound.core.errors import DeniedError


_CHECK: Final = re.compile(r"([1-9][0-9]{0,5}):(.+)", re.DOTALL)
_LEAST: Final = 30
_MOST: Final = 86_400


class Shown(Enum):
    """What checks show of an effect, as policies read it."""

    NOTHING = ""
    """Nothing was to be looked at."""
    ABSENT = "absent"
    PRESENT = "present"
    UNSETTLED = "unsettled"
    """An attempt may still have its effect."""
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What shows the effect of a call, and when."""

    seconds: int
    probe: Probe

    @property
    def text(self) -> str:
        """As a person writes it."""
        return f"{self.seconds}:{self.probe.text}"


def parse_checks(texts: Iterable[str]) -> tuple[Check, ...]:
    """The checks of one tool, by argument in order.

    Raises:
        BadProbeError: One is none (rules 1 and 2), or two are about one argument.
    """
    seconds: dict[str, int] = {}
    for text in texts:
        found = _CHECK.fullmatch(text)
        if found is None or not _LEAST <= int(found[1]) <= _MOST:
            raise BadProbeError(f"a check begins with {_LEAST} to {_MOST} seconds, and a colon")
        if found[2] in seconds:
            raise BadProbeError("two checks are about one argument")
        seconds[found[2]] = int(found[1])
    probes = parse_probes(seconds)
    if any(one.kind is not ProbeKind.ROW for one in probes):
        raise BadProbeError("only a row shows by its absence that there was no effect")
    return tuple(Check(seconds=seconds[one.text], probe=one) for one in probes)


def settled_at(checks: Iterable[Check], lost: Instant) -> Instant:
    """From when on a row that is not there shows something (rule 2)."""
    return Instant(lost + max(one.seconds for one in checks) * 1_000_000)


def shown_by(found: Iterable[Operand | DeniedError]) -> Shown:
    """What the findings of all checks show together (rule 3)."""
    some = tuple(found)
    if not some or not all(isinstance(one, Operand) for one in some):
        return Shown.UNREADABLE
    versions = {dict(one.found)["version"] for one in some if isinstance(one, Operand)}
    return Shown.ABSENT if versions == {NO_ROW} else Shown.PRESENT

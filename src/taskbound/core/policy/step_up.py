"""Signing in anew where a policy asks for it: `@hold("step-up:ACR@SECONDS")` (RFC 9470).

1. `ACR` is how the person signed in, in their issuer's words, compared whole; `SECONDS` how long ago at most.
   One of the two may be left out, and says nothing then.
2. A sign-in that nobody knows of meets nothing, and neither does one that is said to be still to come.
3. Each that is asked for is to be met. What is told of those that are not: all ways, and the shortest time.
4. About an operation it is who asks for it that has to have signed in so; about a call, whoever says yes to
   it (`approval.quorum`), when they say so.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from taskbound.core.clock import seconds
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.clock import Instant


STEP_UP: Final = "step-up:(?:[A-Za-z0-9][A-Za-z0-9._:/+-]{0,127})?(?:@[1-9][0-9]{0,5})?(?<!:)"
"""What such a lifter looks like."""
_LIFTER: Final = re.compile(STEP_UP, re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepUp:
    """How a person has to have signed in."""

    acr: str
    """Empty for any way."""
    within: int
    """Seconds; 0 for any time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """How a person signed in, and when."""

    acr: str
    at: Instant


class StepUpError(DeniedError):
    """The person has to sign in anew for this, or otherwise than they did."""

    code = "step-up"
    remedy = "sign in as it says, and ask again with the token that you get by that"

    def __init__(self, message: str, *, steps: Sequence[StepUp], where: str = "", remedy: str = "") -> None:
        """Say so, and how (rule 3)."""
        super().__init__(f"{message}: signed in {asked_words(steps)}", where=where, remedy=remedy)
        acr, within = _asked(steps)
        self.acr = acr
        """The ways to sign in, by a space between two; empty for any."""
        self.within = within
        """How long ago at most, seconds; 0 for any time."""


def asked_words(steps: Sequence[StepUp]) -> str:
    """How somebody is to have signed in, in words (rule 3)."""
    acr, within = _asked(steps)
    how = [f"as `{acr}`"] if acr else []
    how += [f"at most {within} seconds ago"] if within else []
    return ", ".join(how)


def _asked(steps: Sequence[StepUp]) -> tuple[str, int]:
    acr = " ".join(dict.fromkeys(one.acr for one in steps if one.acr))
    return acr, min((one.within for one in steps if one.within), default=0)


def parse_step_up(lifter: str) -> StepUp | None:
    """What a lifter asks of a sign-in (rule 1); None where it asks for something else."""
    if _LIFTER.fullmatch(lifter) is None:
        return None
    acr, _, within = lifter.removeprefix("step-up:").partition("@")
    return StepUp(acr=acr, within=int(within or "0"))


def unmet(steps: Sequence[StepUp], signed: SignIn | None, now: Instant) -> tuple[StepUp, ...]:
    """Those that a sign-in does not meet now (rules 2 and 3)."""
    if signed is None:
        return tuple(steps)
    age = now - signed.at
    return tuple(
        one
        for one in steps
        if one.acr not in {"", signed.acr} or (one.within and not 0 <= age <= seconds(one.within))
    )

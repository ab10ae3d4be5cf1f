"""Where a target stands: nothing is minted in one that has not shown that what is minted there can be ended.

1. A preflight mints a canary of each kind of credential, uses it, and revokes it. What it declared can be
   asked for only once all of that was seen to work; until then it has no tools.
2. A target that is ready stays so when a later preflight fails: what lives there has to be ended in any case,
   and what is asked for is refused by the target itself. That it failed is shown.
"""

from __future__ import annotations

from enum import Enum


class TargetState(Enum):
    """Where a target stands; the values are what rows and records hold."""

    UNTESTED = "untested"
    """Its preflight is under way, or was never over."""
    REFUSED = "refused"
    """Its preflight failed, and it was never ready."""
    READY = "ready"
    """What it declares can be asked for."""

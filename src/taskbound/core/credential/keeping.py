"""What is kept of a credential that has no name of ours in its target, sealed to the broker: what ends it.

1. It is sealed for this credential of this target alone: in another row, or of a target that has the name
   now, it opens nothing.
2. What was given and not kept can be ended by nobody. It is over by itself once the longest life has passed
   that its target gives to anything, counted from when the last answer to its mint could still arrive: that
   is said of it, and never that it is gone.
3. Of a mint that nobody began nothing was given. A row says so as long as it is no older state of itself,
   which is for whoever remembers the store to tell (`surfaces.broker.memory`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Instant, seconds
from taskbound.core.credential.due import MINTED_WITHIN
from taskbound.core.credential.lease import LATE, LEASE
from taskbound.core.credential.values import NEVER
from taskbound.core.tool import Binding
from taskbound.core.tool.slot import Slot

if TYPE_CHECKING:
    from taskbound.core.credential.values import Credential


_FIRST: Final = 1
"""A credential is minted once: there is no second value."""


def kept_binding(credential: Credential) -> Binding:
    """What it is sealed for (rule 1)."""
    return Binding(
        namespace=credential.namespace,
        server=credential.target,
        identity=credential.identity,
        slot=Slot(kind="kept", name=credential.id).text,
        number=_FIRST,
    )


def lost_until(credential: Credential, lasts: int) -> Instant:
    """When whatever was given for it is over, also where nobody knows what that was (rule 2).

    Args:
        credential: The row.
        lasts: Seconds that anything lives at most which its target gives.
    """
    last = max(credential.shown, credential.late)
    if last == NEVER:
        last = Instant(credential.made + MINTED_WITHIN + LEASE + LATE)
    return Instant(last + seconds(lasts))


def is_unbegun(credential: Credential) -> bool:
    """Whether the row says that no mint of it was begun, before it ended (rule 3)."""
    return bool(credential.kind) and credential.shown == NEVER and credential.late == NEVER

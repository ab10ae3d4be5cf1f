"""Who has a credential in hand: one worker at a time, and nobody who was away for too long (I-55).

1. A lease is taken where nobody has one, or the last one is over. It has the next fence.
2. What is told of a credential counts with the fence of the lease that it has, and with no older one: a
   process that was stopped and goes on tells nothing any more.
3. A lease is long enough for one call of a target with its patience, and is taken anew for the next. Whoever
   holds it does nothing in a target in its last `MARGIN`: the call could outlast it.
4. A mint whose lease was lost may still arrive: no later than `LATE` after the lease, which is longer than
   any statement of ours may wait in a target (I-02).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Instant, seconds
from taskbound.core.credential.errors import LeaseHeldError, LeaseLostError
from taskbound.core.credential.state import LIVE
from taskbound.core.credential.values import NEVER, Lease

if TYPE_CHECKING:
    from taskbound.core.credential.values import Credential


LEASE: Final = seconds(10)
"""How long a lease lasts: another broker goes on within 15 s of a kill."""
MARGIN: Final = seconds(2)
LATE: Final = seconds(60)


def is_leased(credential: Credential, now: Instant) -> bool:
    """Whether a worker has it in hand."""
    return now < credential.lease.until


def take_lease(credential: Credential, now: Instant) -> Lease:
    """The lease by which the credential is in the hand of who asks (rule 1).

    Raises:
        LeaseHeldError: Another one has it.
    """
    if is_leased(credential, now):
        raise LeaseHeldError(f"`{credential.id}` is in another worker's hand")
    return Lease(fence=credential.lease.fence + 1, until=Instant(now + LEASE))


def is_never_begun(credential: Credential, now: Instant) -> bool:
    """Whether no mint of it has begun and none ever will, so that nothing of it can be in its target.

    It is known as long as a mint that had begun would stand in the row, and not believed any longer.
    """
    begun = credential.late != NEVER or credential.shown != NEVER
    return credential.state not in LIVE and not begun and now < credential.made + LATE


def require_lease(credential: Credential, fence: int, now: Instant) -> None:
    """Go on only for who has it in hand now (rule 2).

    Raises:
        LeaseLostError: Another one had or has it since, or the lease is over.
    """
    if fence != credential.lease.fence or not is_leased(credential, now):
        raise LeaseLostError(f"`{credential.id}` was in this worker's hand, and is no more")


def let_go(credential: Credential) -> Lease:
    """The lease by which the credential is in nobody's hand; its fence stays."""
    return Lease(fence=credential.lease.fence, until=NEVER)

"""What happens to a credential next, and when: one instant of each row, and no timer of any (I-57).

1. What is journaled is minted at once. Where no broker has begun within `MINTED_WITHIN`, who asked is taken
   to have gone, and it ends; so it does where a mint's lease is over.
2. A credential that nobody has acknowledged ends when its hand-out does, any other one at its own end.
3. What is to live longer is renewed at once, as long as it does not end first; where that failed, again after
   the waits of rule 4.
4. What is being revoked is tried at once, and after a failure again: half a second after that attempt began,
   then one, two, four and from then on five. Five seconds are what may pass from a target's return until what
   was overdue is gone (T4), and an attempt is one connection. One that took longer than its wait, as in a
   target that hangs, is followed by the next at once: else its patience and the wait would both have to pass.
5. What is gone is looked at once more where a mint may still have arrived in the target (`lease`, rule 4).
6. Revoking is overdue after `OVERDUE`: from then on it has an age that people are shown and told (I-06).
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Duration, Instant, milliseconds, seconds
from taskbound.core.credential.state import CredentialState
from taskbound.core.credential.values import NEVER, handed_out_until, is_renewing

if TYPE_CHECKING:
    from taskbound.core.credential.values import Credential


MINTED_WITHIN: Final = seconds(10)
"""How long a row waits for a broker."""
OVERDUE: Final = seconds(60)
LONGEST_WAIT: Final = seconds(5)
_FIRST_WAIT: Final = milliseconds(500)
_DOUBLINGS: Final = 4
"""After so many failures the wait is the longest; no larger power is computed."""


class Step(Enum):
    """What is to be done with a credential that is due."""

    MINT = "mint"
    """A broker mints it."""
    RENEW = "renew"
    """A broker tells its target that it lives longer."""
    END = "end"
    """The daemon writes its end; no target is asked for that."""
    REVOKE = "revoke"
    """A broker revokes it, and looks whether it is gone."""
    LOOK = "look"
    """A broker looks whether it is gone still."""


def step_of(credential: Credential, now: Instant) -> Step | None:
    """What is to be done with it now; nothing where it is not due."""
    if credential.due == NEVER or now < credential.due:
        return None
    match credential.state:
        case CredentialState.JOURNALED:
            return Step.MINT if now < credential.made + MINTED_WITHIN else Step.END
        case CredentialState.MINTING | CredentialState.ACTIVE:
            return Step.RENEW if is_renewing(credential) and now < _over_of(credential) else Step.END  # 3
        case CredentialState.REVOKING:
            return Step.REVOKE
        case CredentialState.REVOKED:
            return Step.LOOK
        case CredentialState.UNSUPPORTED:
            return None


def due_of(credential: Credential, now: Instant, *, tried: Instant | None = None) -> Instant:
    """When it has to be looked at next, as it stands from now on; `NEVER` of what is over.

    Args:
        credential: As it stands.
        now: Now.
        tried: When the attempt to revoke it began that failed just now; None where none did.
    """
    match credential.state:
        case CredentialState.JOURNALED:
            return credential.made
        case CredentialState.MINTING:
            return credential.lease.until
        case CredentialState.ACTIVE:
            return min(_over_of(credential), _renewed_at(credential, now))
        case CredentialState.REVOKING:
            waits = Instant((now if tried is None else tried) + _wait_after(credential.attempts))
            return max(credential.lease.until, now, waits)
        case CredentialState.REVOKED:
            return credential.late
        case CredentialState.UNSUPPORTED:
            return NEVER


def is_overdue(credential: Credential, now: Instant) -> bool:
    """Whether its revocation takes longer than anybody should have to wait (rule 6)."""
    return credential.state is CredentialState.REVOKING and age_of(credential, now) >= OVERDUE


def age_of(credential: Credential, now: Instant) -> Duration:
    """How long its revocation has been under way; 0 where none is."""
    if credential.state is not CredentialState.REVOKING:
        return Duration(0)
    return Duration(max(0, now - credential.ended))


def _over_of(credential: Credential) -> Instant:
    """When what is active ends (rule 2)."""
    waits = credential.ends if credential.acknowledged else handed_out_until(credential)
    return min(waits, credential.ends)


def _renewed_at(credential: Credential, now: Instant) -> Instant:
    """When its target is told next that it lives longer (rule 3); its end where nothing is to be told."""
    if credential.renewal is None or not is_renewing(credential):
        return credential.ends
    return max(credential.lease.until, Instant(now + _wait_after(credential.renewal.attempts)))


def _wait_after(attempts: int) -> Duration:
    """How long the next attempt waits after so many that failed (rule 4)."""
    if not attempts:
        return Duration(0)
    return Duration(min(LONGEST_WAIT, _FIRST_WAIT << min(attempts - 1, _DOUBLINGS)))

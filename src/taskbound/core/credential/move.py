"""State transitions of a credential, each as a whole new row.

1. Each move checks the state, sets the next due time and increments the version; reports by a broker also
   check its lease and release it.
2. The end of a credential voids all leases; a mint that was open may still arrive (I-12).
3. A failed revocation stays open, with one more attempt and its error.
4. A mint that was never sent cannot arrive; its report ends the credential at once.
5. A secret that was not acknowledged in time is void, even before the row shows the end.
6. The sealed data for ending a credential is deleted when the credential is ended.
7. A renewal moves the end after the target was informed, and never earlier. The end of a credential ends
   its renewal; an expired credential is never renewed, even before the row shows the end.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from taskbound.core.clock import Instant
from taskbound.core.credential.errors import HandOutOverError, NotRenewableError
from taskbound.core.credential.values import (
    LATE,
    LEASE,
    NEVER,
    CredentialEvent,
    RenewalState,
    advance,
    due_of,
    handed_out_until,
    is_renewing,
    latest_end,
    let_go,
    require_lease,
    take_lease,
)

if TYPE_CHECKING:
    from taskbound.core.credential.values import Credential, Renewal


def begin_mint(credential: Credential, now: Instant) -> Credential:
    lease = take_lease(credential, now)
    state = advance(credential.state, CredentialEvent.MINT)
    return _due(replace(credential, state=state, lease=lease, late=Instant(lease.until + LATE)), now)


def show_credential(credential: Credential, fence: int, now: Instant, *, kept: str = "") -> Credential:
    """The lease holder reports the minted credential; its secret is sealed.

    `kept` is what the target needs to end it, sealed to the broker; empty if its name is enough.
    """
    require_lease(credential, fence, now)
    state = advance(credential.state, CredentialEvent.SHOW)
    lease = let_go(credential)
    return _due(replace(credential, state=state, lease=lease, shown=now, late=NEVER, kept=kept), now)


def acknowledge(credential: Credential, now: Instant) -> Credential:
    """The requester acknowledges the secret, idempotently; raises HandOutOverError."""
    state = advance(credential.state, CredentialEvent.ACKNOWLEDGE)
    if credential.acknowledged:
        return credential
    if now >= handed_out_until(credential):
        raise HandOutOverError(f"the secret of `{credential.id}` was not acknowledged in time")
    return _due(replace(credential, state=state, acknowledged=True), now)


def prolong_credential(credential: Credential, renewal: Renewal, now: Instant) -> Credential:
    """A decision permits a renewal, still unknown to the target; raises NotRenewableError."""
    state = advance(credential.state, CredentialEvent.PROLONG)
    if is_renewing(credential) or not credential.acknowledged or now >= credential.ends:
        raise NotRenewableError(f"`{credential.id}` is over, is not acknowledged, or is being renewed")
    if renewal.ends <= latest_end(credential):
        raise NotRenewableError(f"`{credential.id}` does not live longer by that")
    return _due(replace(credential, state=state, renewal=renewal, trouble=""), now)


def begin_renewal(credential: Credential, now: Instant) -> Credential:
    lease = take_lease(credential, now)
    state = advance(credential.state, CredentialEvent.TELL)
    _require_renewing(credential, now)
    return _due(replace(credential, state=state, lease=lease), now)


def renew_credential(credential: Credential, fence: int, now: Instant) -> Credential:
    """The lease holder informed the target; the end never moves earlier."""
    require_lease(credential, fence, now)
    state = advance(credential.state, CredentialEvent.RENEW)
    renewal = _require_renewing(credential, now)
    done = replace(renewal, state=RenewalState.DONE)
    ends, lease = max(renewal.ends, credential.ends), let_go(credential)
    return _due(replace(credential, state=state, lease=lease, ends=ends, renewal=done, trouble=""), now)


def fail_renewal(credential: Credential, fence: int, trouble: str, now: Instant) -> Credential:
    """The target could not be informed; the attempt is repeated until the credential ends."""
    require_lease(credential, fence, now)
    state = advance(credential.state, CredentialEvent.TELL)
    renewal = _require_renewing(credential, now)
    again = replace(renewal, attempts=renewal.attempts + 1)
    lease = let_go(credential)
    return _due(replace(credential, state=state, lease=lease, renewal=again, trouble=trouble), now)


def keep_end(credential: Credential, fence: int, trouble: str, now: Instant) -> Credential:
    """The target refuses a later end; the credential keeps its previous end."""
    require_lease(credential, fence, now)
    state = advance(credential.state, CredentialEvent.KEEP)
    failed = replace(_require_renewing(credential, now), state=RenewalState.FAILED)
    lease = let_go(credential)
    return _due(replace(credential, state=state, lease=lease, renewal=failed, trouble=trouble), now)


def _require_renewing(credential: Credential, now: Instant) -> Renewal:
    renewal = credential.renewal
    if renewal is None or not is_renewing(credential) or now >= credential.ends:
        raise NotRenewableError(f"`{credential.id}` is over, or is not being renewed")
    return renewal


def end_credential(credential: Credential, why: str, now: Instant) -> Credential:
    """Ends the credential for this reason; raises WrongStateError if it is being or was revoked."""
    state = advance(credential.state, CredentialEvent.END)
    renewal = credential.renewal
    if renewal is not None and is_renewing(credential):
        renewal = replace(renewal, state=RenewalState.FAILED)  # 7
    lease = let_go(credential)
    ended = replace(credential, state=state, lease=lease, ended=now, why=why, attempts=0, renewal=renewal)
    return _due(ended, now)


def end_unsent(credential: Credential, fence: int, why: str, now: Instant) -> Credential:
    """The lease holder reports that the mint was not and will not be sent."""
    require_lease(credential, fence, now)
    state = advance(credential.state, CredentialEvent.UNSENT)
    lease = let_go(credential)
    return _due(replace(credential, state=state, lease=lease, ended=now, why=why, late=NEVER), now)


def begin_revocation(credential: Credential, now: Instant) -> Credential:
    lease = take_lease(credential, now)
    state = advance(credential.state, CredentialEvent.TRY)
    return _due(replace(credential, state=state, lease=lease), now)


def fail_revocation(credential: Credential, fence: int, trouble: str, now: Instant) -> Credential:
    require_lease(credential, fence, now)
    state = advance(credential.state, CredentialEvent.FAIL)
    lease, attempts = let_go(credential), credential.attempts + 1
    failed = replace(credential, state=state, lease=lease, attempts=attempts, trouble=trouble)
    return _due(failed, now, tried=Instant(credential.lease.until - LEASE))


def prove_gone(credential: Credential, fence: int, now: Instant) -> Credential:
    require_lease(credential, fence, now)
    state = advance(credential.state, CredentialEvent.GONE)
    lease = let_go(credential)
    return _due(replace(credential, state=state, lease=lease, trouble="", kept=""), now)  # 6


def prove_still_gone(credential: Credential, now: Instant) -> Credential:
    """The target still shows nothing; look-ups stop when no mint can arrive any more."""
    state = advance(credential.state, CredentialEvent.GONE)
    late = NEVER if now >= credential.late else credential.late
    return _due(replace(credential, state=state, late=late), now)


def leave_credential(credential: Credential, fence: int, until: Instant, now: Instant) -> Credential:
    """The target cannot end what is open; it ends by itself at `until`."""
    require_lease(credential, fence, now)
    state = advance(credential.state, CredentialEvent.LEAVE)
    lease = let_go(credential)
    return _due(replace(credential, state=state, lease=lease, ends=until, kept=""), now)  # 6


def reappear(credential: Credential, now: Instant) -> Credential:
    """The target shows a credential that was gone; it is revoked again."""
    state = advance(credential.state, CredentialEvent.REAPPEAR)
    return _due(replace(credential, state=state, ended=now, attempts=0), now)


def _due(credential: Credential, now: Instant, *, tried: Instant | None = None) -> Credential:
    due = due_of(credential, now, tried=tried)
    return replace(credential, due=due, version=credential.version + 1)  # 1

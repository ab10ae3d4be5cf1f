"""What happens to a credential, as a whole row: each event with all that changes by it.

1. Every move checks the state (`state`), sets what is due next (`due`) and makes the next version of the
   row; one that a broker tells of checks its lease first (`lease`), and lets go of it.
2. The end of a credential takes it out of every hand: whoever was minting it is told so by the next thing
   that it tells. Where a mint was under way, it may still arrive (I-12).
3. A revocation that failed stays what it is, with one more attempt and what it met.
4. Of what was never sent nothing can arrive: its end is written with the mint's (`state`, rule 5).
5. A secret that was not acknowledged in time is nobody's, also where the row's end is not written yet.
6. What was kept to end it is forgotten with what ends it: nobody needs it any more.
7. A renewal moves the row's end once the target was told, and never to an earlier one. What ends a credential
   ends its renewal, and what is over is renewed by nobody, also where the row's end is not written yet.
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
    """A broker takes it in hand to mint it.

    Raises:
        LeaseHeldError: Another one has it in hand.
        WrongStateError: It is not journaled.
    """
    lease = take_lease(credential, now)
    state = advance(credential.state, CredentialEvent.MINT)
    return _due(replace(credential, state=state, lease=lease, late=Instant(lease.until + LATE)), now)


def show_credential(credential: Credential, fence: int, now: Instant, *, kept: str = "") -> Credential:
    """The target shows what the holder of this lease minted, whose secret is sealed.

    Args:
        credential: The row.
        fence: Of the holder's lease.
        now: When.
        kept: What its target needs to end it, sealed to the broker; empty where its name is enough.

    Raises:
        LeaseLostError: That is nobody who has it in hand.
        WrongStateError: It is not being minted.
    """
    require_lease(credential, fence, now)
    state = advance(credential.state, CredentialEvent.SHOW)
    lease = let_go(credential)
    return _due(replace(credential, state=state, lease=lease, shown=now, late=NEVER, kept=kept), now)


def acknowledge(credential: Credential, now: Instant) -> Credential:
    """Who asked says to have the secret; once more changes nothing.

    Raises:
        HandOutOverError: That comes too late (rule 5).
        WrongStateError: It is not active.
    """
    state = advance(credential.state, CredentialEvent.ACKNOWLEDGE)
    if credential.acknowledged:
        return credential
    if now >= handed_out_until(credential):
        raise HandOutOverError(f"the secret of `{credential.id}` was not acknowledged in time")
    return _due(replace(credential, state=state, acknowledged=True), now)


def prolong_credential(credential: Credential, renewal: Renewal, now: Instant) -> Credential:
    """A decision lets it live longer, of which its target has to be told.

    Raises:
        NotRenewableError: It is over, is nobody's yet, or another renewal of it is under way (rule 7).
        WrongStateError: It is not active.
    """
    state = advance(credential.state, CredentialEvent.PROLONG)
    if is_renewing(credential) or not credential.acknowledged or now >= credential.ends:
        raise NotRenewableError(f"`{credential.id}` is over, is nobody's yet, or is being renewed")
    if renewal.ends <= latest_end(credential):
        raise NotRenewableError(f"`{credential.id}` does not live longer by that")
    return _due(replace(credential, state=state, renewal=renewal, trouble=""), now)


def begin_renewal(credential: Credential, now: Instant) -> Credential:
    """A broker takes it in hand to tell the target of it; once its lease is over another one may.

    Raises:
        LeaseHeldError: Another one has it in hand.
        NotRenewableError: It is over, or nothing is to be told (rule 7).
        WrongStateError: It is not active.
    """
    lease = take_lease(credential, now)
    state = advance(credential.state, CredentialEvent.TELL)
    _require_renewing(credential, now)
    return _due(replace(credential, state=state, lease=lease), now)


def renew_credential(credential: Credential, fence: int, now: Instant) -> Credential:
    """The target was told by the holder of this lease; it never ends earlier by that.

    Raises:
        LeaseLostError: That is nobody who has it in hand.
        NotRenewableError: It is over, or nothing was to be told (rule 7).
        WrongStateError: It is not active.
    """
    require_lease(credential, fence, now)
    state = advance(credential.state, CredentialEvent.RENEW)
    renewal = _require_renewing(credential, now)
    done = replace(renewal, state=RenewalState.DONE)
    ends, lease = max(renewal.ends, credential.ends), let_go(credential)
    return _due(replace(credential, state=state, lease=lease, ends=ends, renewal=done, trouble=""), now)


def fail_renewal(credential: Credential, fence: int, trouble: str, now: Instant) -> Credential:
    """The target could not be told this time; it is tried again until the credential ends.

    Raises:
        LeaseLostError: That is nobody who has it in hand.
        NotRenewableError: It is over, or nothing was to be told (rule 7).
        WrongStateError: It is not active.
    """
    require_lease(credential, fence, now)
    state = advance(credential.state, CredentialEvent.TELL)
    renewal = _require_renewing(credential, now)
    again = replace(renewal, attempts=renewal.attempts + 1)
    lease = let_go(credential)
    return _due(replace(credential, state=state, lease=lease, renewal=again, trouble=trouble), now)


def keep_end(credential: Credential, fence: int, trouble: str, now: Instant) -> Credential:
    """The target does not let it live longer: it ends when it did before.

    Raises:
        LeaseLostError: That is nobody who has it in hand.
        NotRenewableError: It is over, or nothing was to be told (rule 7).
        WrongStateError: It is not active.
    """
    require_lease(credential, fence, now)
    state = advance(credential.state, CredentialEvent.KEEP)
    failed = replace(_require_renewing(credential, now), state=RenewalState.FAILED)
    lease = let_go(credential)
    return _due(replace(credential, state=state, lease=lease, renewal=failed, trouble=trouble), now)


def _require_renewing(credential: Credential, now: Instant) -> Renewal:
    """The renewal of which the target is to be told; as long as the credential is not over (rule 7)."""
    renewal = credential.renewal
    if renewal is None or not is_renewing(credential) or now >= credential.ends:
        raise NotRenewableError(f"`{credential.id}` is over, or is not being renewed")
    return renewal


def end_credential(credential: Credential, why: str, now: Instant) -> Credential:
    """It is over, for this reason (rule 2).

    Raises:
        WrongStateError: It is being revoked, or was.
    """
    state = advance(credential.state, CredentialEvent.END)
    renewal = credential.renewal
    if renewal is not None and is_renewing(credential):
        renewal = replace(renewal, state=RenewalState.FAILED)  # 7
    lease = let_go(credential)
    ended = replace(credential, state=state, lease=lease, ended=now, why=why, attempts=0, renewal=renewal)
    return _due(ended, now)


def end_unsent(credential: Credential, fence: int, why: str, now: Instant) -> Credential:
    """Nothing was sent of the mint that the holder of this lease had in hand, and nothing will be (rule 4).

    Raises:
        LeaseLostError: That is nobody who has it in hand.
        WrongStateError: It is not being minted.
    """
    require_lease(credential, fence, now)
    state = advance(credential.state, CredentialEvent.UNSENT)
    lease = let_go(credential)
    return _due(replace(credential, state=state, lease=lease, ended=now, why=why, late=NEVER), now)


def begin_revocation(credential: Credential, now: Instant) -> Credential:
    """A broker takes it in hand to revoke it; once its lease is over another one may.

    Raises:
        LeaseHeldError: Another one has it in hand.
        WrongStateError: It is not being revoked.
    """
    lease = take_lease(credential, now)
    state = advance(credential.state, CredentialEvent.TRY)
    return _due(replace(credential, state=state, lease=lease), now)


def fail_revocation(credential: Credential, fence: int, trouble: str, now: Instant) -> Credential:
    """The target could not be brought to it this time (rule 3).

    Raises:
        LeaseLostError: That is nobody who has it in hand.
        WrongStateError: It is not being revoked.
    """
    require_lease(credential, fence, now)
    state = advance(credential.state, CredentialEvent.FAIL)
    lease, attempts = let_go(credential), credential.attempts + 1
    failed = replace(credential, state=state, lease=lease, attempts=attempts, trouble=trouble)
    return _due(failed, now, tried=Instant(credential.lease.until - LEASE))


def prove_gone(credential: Credential, fence: int, now: Instant) -> Credential:
    """The target shows that nothing of it is there.

    Raises:
        LeaseLostError: That is nobody who has it in hand.
        WrongStateError: It is not being revoked.
    """
    require_lease(credential, fence, now)
    state = advance(credential.state, CredentialEvent.GONE)
    lease = let_go(credential)
    return _due(replace(credential, state=state, lease=lease, trouble="", kept=""), now)  # 6


def prove_still_gone(credential: Credential, now: Instant) -> Credential:
    """The target shows nothing of it still; it isn't looked at again once no mint can arrive any more.

    Raises:
        WrongStateError: It is not gone.
    """
    state = advance(credential.state, CredentialEvent.GONE)
    late = NEVER if now >= credential.late else credential.late
    return _due(replace(credential, state=state, late=late), now)


def leave_credential(credential: Credential, fence: int, until: Instant, now: Instant) -> Credential:
    """The target has no means to end what is open; it ends by itself at this instant.

    Raises:
        LeaseLostError: That is nobody who has it in hand.
        WrongStateError: It is not being revoked.
    """
    require_lease(credential, fence, now)
    state = advance(credential.state, CredentialEvent.LEAVE)
    lease = let_go(credential)
    return _due(replace(credential, state=state, lease=lease, ends=until, kept=""), now)  # 6


def reappear(credential: Credential, now: Instant) -> Credential:
    """The target shows what was gone: it is revoked again.

    Raises:
        WrongStateError: It was never gone.
    """
    state = advance(credential.state, CredentialEvent.REAPPEAR)
    return _due(replace(credential, state=state, ended=now, attempts=0), now)


def _due(credential: Credential, now: Instant, *, tried: Instant | None = None) -> Credential:
    due = due_of(credential, now, tried=tried)
    return replace(credential, due=due, version=credential.version + 1)  # 1

"""A credential: its row, its states, its name in the target, its lease, and what is due next.

Of `values`:

1. What was asked for and permitted never changes: target, kind, arguments, task, action. State, end, lease,
   the last renewal and what is due do.
2. A credential ends with its task at the latest, and in the target by itself within `GRACE` of that, also
   when every process of ours is gone (I-03). What the target is told is never earlier than the row's end: a
   clock that is ahead there would cut short what was granted.
3. It has the name of its action: an action has one credential at most. What has a kind and no action is a
   *canary* of a preflight, which nobody asked for and nobody gets; what has neither was found by a sweep.
4. It is nobody's until who asked has acknowledged it, within `HANDED_OUT_WITHIN` (K10): a secret that nobody
   says to have may be anywhere.
5. What was permitted of a renewal stands beside the row's end until the target was told: until then the row
   ends when it did. The last renewal stays with what came of it: its action's outcome follows from that.
6. What has no name of ours in its target is ended by what is kept of it (`keeping`): sealed to the broker,
   and no longer than until it is over.

Of `state`:

Rules (design 5; reliability I-01 to I-07, I-12, I-14):

1. A credential begins *journaled*: there is a row, and nothing in the target. What a sweep finds in a target
   without a row gets one that begins *revoking*.
2. Only what was journaled is minted, and once: a mint that was lost is revoked, and never begun anew.
3. Whatever ends it leads to *revoking*, from wherever it stands. Nothing that is being revoked is ever active
   again (I-12).
4. *Revoking* is left with what the target itself showed and with nothing else: that nothing is there any more
   (*gone*), or that it has no means to end what is there (*unsupported*), which then ends at an instant that
   is known. No error, no patience and no number of attempts leads out of it (I-06).
5. One end needs no look: of a mint that nothing was sent of, neither to the target nor on the way to it. It
   is begun once (rule 2), so nothing can be there, or arrive; who had its lease says so, and what they say of
   what the target showed is believed no less.
6. What is active may be renewed, by a decision of its own each time: that was permitted, then the target was
   told. Whatever ends it goes first, and what is over is never renewed.
7. A target may show again what was gone: its data was restored, or a mint arrives late. Then it is revoked
   again (I-14). To be shown once more that it is gone changes nothing (I-05).

Of `name`:

1. `tb_`, the installation's mark, `_`, and the row's id without `crd_`: 47 characters of a-z, 2-7 and `_`. No
   target that is known cuts it off, folds it or has to quote it (PostgreSQL takes 63 bytes, STS 64
   characters), and nobody gives such a name by accident (A218).
2. The mark tells installations apart that mint in one target. A sweep looks for names that begin with this
   installation's, and what is not exactly such a name is not touched, whatever it begins with (I-14).

Of `lease`:

1. A lease is taken where nobody has one, or the last one is over. It has the next fence.
2. What is told of a credential counts with the fence of the lease that it has, and with no older one: a
   process that was stopped and goes on tells nothing any more.
3. A lease is long enough for one call of a target with its patience, and is taken anew for the next. Whoever
   holds it does nothing in a target in its last `MARGIN`: the call could outlast it.
4. A mint whose lease was lost may still arrive: no later than `LATE` after the lease, which is longer than
   any statement of ours may wait in a target (I-02).

Of `due`:

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

import re
from dataclasses import field
from enum import Enum
from typing import TYPE_CHECKING, Final

from taskbound.core.action.text import escape_text
from taskbound.core.clock import Duration, Instant, milliseconds, seconds
from taskbound.core.credential.errors import (
    BadCredentialLifeError,
    BadMarkError,
    ForeignNameError,
    LeaseHeldError,
    LeaseLostError,
)
from taskbound.core.dataclass import dataclass
from taskbound.core.transition import Transitions

if TYPE_CHECKING:
    from collections.abc import Collection


class CredentialState(Enum):
    """Where a credential stands; the values are what rows and records hold."""

    JOURNALED = "journaled"
    MINTING = "minting"
    ACTIVE = "active"
    REVOKING = "revoking"
    REVOKED = "revoked"
    UNSUPPORTED = "unsupported"


class CredentialEvent(Enum):
    """What can happen to a credential."""

    MINT = "mint"
    """A broker is about to call the target."""
    SHOW = "show"
    """The target shows it, and its secret is sealed to who asked."""
    ACKNOWLEDGE = "acknowledge"
    """Who asked says to have its secret."""
    PROLONG = "prolong"
    """A decision lets it live longer; its target knows nothing of that yet (rule 6)."""
    TELL = "tell"
    """A broker is about to tell the target of it, or could not."""
    RENEW = "renew"
    """The target lets it live longer, as was decided."""
    KEEP = "keep"
    """The target does not let it live longer: it ends when it did before."""
    END = "end"
    """It is over: its task, its time, its holder or a person says so, or its mint failed (rule 3)."""
    UNSENT = "unsent"
    """Nothing was ever sent of its mint, and nothing will be (rule 5)."""
    TRY = "try"
    """A broker is about to call the target to revoke it."""
    FAIL = "fail"
    """The target could not be brought to it this time."""
    GONE = "gone"
    """The target shows that nothing of it is there (rule 4)."""
    LEAVE = "leave"
    """The target has no means to end what is open; it ends by itself (rule 4)."""
    REAPPEAR = "reappear"
    """The target shows what was gone (rule 7)."""


_S, _E = CredentialState, CredentialEvent

CREDENTIAL_TRANSITIONS: Final[Transitions[CredentialState, CredentialEvent]] = Transitions(
    word="the credential",
    moves={
        (_S.JOURNALED, _E.MINT): _S.MINTING,
        (_S.MINTING, _E.SHOW): _S.ACTIVE,
        (_S.ACTIVE, _E.ACKNOWLEDGE): _S.ACTIVE,
        (_S.ACTIVE, _E.PROLONG): _S.ACTIVE,
        (_S.ACTIVE, _E.TELL): _S.ACTIVE,
        (_S.ACTIVE, _E.RENEW): _S.ACTIVE,
        (_S.ACTIVE, _E.KEEP): _S.ACTIVE,
        (_S.JOURNALED, _E.END): _S.REVOKING,
        (_S.MINTING, _E.END): _S.REVOKING,
        (_S.ACTIVE, _E.END): _S.REVOKING,
        (_S.MINTING, _E.UNSENT): _S.REVOKED,
        (_S.REVOKING, _E.TRY): _S.REVOKING,
        (_S.REVOKING, _E.FAIL): _S.REVOKING,
        (_S.REVOKING, _E.GONE): _S.REVOKED,
        (_S.REVOKED, _E.GONE): _S.REVOKED,
        (_S.REVOKING, _E.LEAVE): _S.UNSUPPORTED,
        (_S.REVOKED, _E.REAPPEAR): _S.REVOKING,
        (_S.UNSUPPORTED, _E.REAPPEAR): _S.REVOKING,
    },
)

BEGINNINGS: Final = frozenset({_S.JOURNALED, _S.REVOKING})
"""Where a credential can begin (rule 1)."""

LIVE: Final = frozenset({_S.JOURNALED, _S.MINTING, _S.ACTIVE})
"""Where the end of its task ends it."""

MAY_EXIST: Final = frozenset({_S.MINTING, _S.ACTIVE, _S.REVOKING, _S.UNSUPPORTED})
"""Where the target may show something of it."""


def advance(state: CredentialState, event: CredentialEvent) -> CredentialState:
    """The state after the event.

    Raises:
        WrongStateError: The event can't happen in this state.
    """
    return CREDENTIAL_TRANSITIONS.advance(state, event)


NEVER: Final = Instant(0)
"""The instant of what has not happened, and of what is not due."""
GRACE: Final = seconds(60)
"""How long after the row's end a target may still let somebody in (rule 2)."""
HANDED_OUT_WITHIN: Final = seconds(10)
"""How long a secret waits for its acknowledgement (rule 4)."""
SHORTEST: Final = 1
"""Seconds: what lives for less is not minted."""
_SECOND: Final = seconds(1)
_SKEW: Final = seconds(30)
"""How far a target's clock may be ahead of ours without cutting short what was granted (rule 2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Who has a credential in hand, and until when (`lease`)."""

    fence: int = 0
    """A number that grows with each lease of the credential; 0 before the first."""
    until: Instant = NEVER
    """When whoever has it must have let go; `NEVER` where nobody has."""


class RenewalState(Enum):
    """What came of a renewal; the values are what rows hold."""

    WANTED = "wanted"
    """It was permitted, and the target was not told of it yet, as far as is known."""
    DONE = "done"
    """The target was told: the row ends as was decided."""
    FAILED = "failed"
    """The target could not be brought to it, or the credential ended before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """The last renewal of a credential (rule 5)."""

    action: str
    """The action that was permitted."""
    ends: Instant
    """When the credential is to end by it."""
    record: int
    """The number of the record of its permit (`AuditReads.numbered`)."""
    state: RenewalState = RenewalState.WANTED
    attempts: int = 0
    """How often the target was told in vain. Nothing but waits and screens depend on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """One credential as it stands."""

    namespace: str
    id: str
    """`crd_` and 35 characters; the target's name for it is computed from it (`name`)."""
    target: str
    kind: str
    """The kind of credential, as the target's file declares it."""
    identity: str
    """Digest of the target's identity at the permit, 64 hexadecimal digits: another target is another one."""
    task: str
    agent: str
    action: str
    """The action that was permitted; empty of a canary, and of what a sweep found without a row (rule 3)."""
    arguments: bytes
    """Canonical JSON of what was asked for and permitted."""
    recipient: str
    """The X25519 public key that its secret is sealed to, 43 characters of base64url."""
    state: CredentialState
    made: Instant
    ends: Instant
    """When it ends (rule 2)."""
    due: Instant
    """When it has to be looked at next; `NEVER` of what is over."""
    lease: Lease = Lease()
    shown: Instant = NEVER
    """When the target showed it, and its secret was sealed."""
    acknowledged: bool = False
    """Whether who asked has said to have its secret (rule 4)."""
    ended: Instant = NEVER
    """When its end was written: the beginning of what may become overdue."""
    why: str = ""
    """Why it ended."""
    attempts: int = 0
    """How often its revocation was tried in vain. Nothing but waits and screens depend on it."""
    trouble: str = ""
    """What the last attempt to revoke or renew it met, in our words; never a target's secret."""
    late: Instant = NEVER
    """Until when a mint that was lost may still arrive in the target; `NEVER` where none can."""
    record: int = 0
    """The number of the record of its beginning (`AuditReads.numbered`)."""
    renewal: Renewal | None = None
    """The last one; None where there was none."""
    kept: str = field(default="", repr=False)
    """What its target needs to end it, sealed to the broker; empty where its name is enough (rule 6)."""
    version: int = 1
    """Grows with each change; a row is written over the one that it was made of, and over no other."""


def end_of(asked: int, most: int, now: Instant, *ends: Instant) -> Instant:
    """When a credential that is asked for now ends (rule 2).

    Args:
        asked: Seconds; 0 asks for as many as may be.
        most: Seconds that its kind may live.
        now: When.
        ends: What it can't outlive: the deadlines of its task and of that one's ancestors.

    Raises:
        BadCredentialLifeError: More was asked for than the kind allows, or less than a second is left.
    """
    if not 0 <= asked <= most:
        raise BadCredentialLifeError(f"such a credential lives {SHORTEST} to {most} seconds")
    end = min([Instant(now + seconds(asked or most)), *ends])
    if end - now < _SECOND:
        raise BadCredentialLifeError("less than a second is left of the task")
    return end


def credential_of(action: str) -> str:
    """The id of the credential that this action asks for (rule 3): `crd_…` of `act_…`."""
    return f"crd_{action.removeprefix('act_')}"


def is_canary(credential: Credential) -> bool:
    """Whether it is a preflight's (rule 3)."""
    return bool(credential.kind) and not credential.action


def is_renewing(credential: Credential) -> bool:
    """Whether a renewal of it was permitted, and its target has to be told of that."""
    renewal = credential.renewal
    return renewal is not None and renewal.state is RenewalState.WANTED


def latest_end(credential: Credential) -> Instant:
    """The latest end that its target may have been told of, by whatever was permitted (rule 5)."""
    renewal = credential.renewal
    return credential.ends if renewal is None else max(credential.ends, renewal.ends)


def end_in_target(ends: Instant) -> Instant:
    """What the target is told as the end, in whole seconds: later than the row's, within `GRACE` (rule 2)."""
    later = ends + _SKEW + _SECOND - 1
    return Instant(later - later % _SECOND)


def last_use(credential: Credential) -> Instant:
    """The latest instant at which its target lets anybody in with it, where nothing ends it before."""
    if credential.state is CredentialState.UNSUPPORTED:
        return credential.ends  # as its target said
    return end_in_target(latest_end(credential))


def handed_out_until(credential: Credential) -> Instant:
    """Until when its secret waits for its acknowledgement (rule 4)."""
    return Instant(credential.shown + HANDED_OUT_WITHIN)


ID_PREFIX: Final = "crd"
"""What the ids of credentials begin with (`ports.clock.Chance.name`)."""
MARK_LENGTH: Final = 8
_MARK: Final = re.compile(r"[a-z2-7]{8}")
_ID: Final = re.compile(r"crd_([a-z2-7]{35})")
_REST: Final = re.compile(r"[a-z2-7]{35}")
_SHOWN: Final = 80
MINTED: Final = "^tb_[a-z2-7]{8}_[a-z2-7]{35}$"
"""A regular expression of names that some installation minted, as Python and PostgreSQL read it alike."""


def parse_mark(text: str) -> str:
    """The text, which can mark an installation's names.

    Raises:
        BadMarkError: It is not 8 characters of a-z and 2-7.
    """
    if _MARK.fullmatch(text) is None:
        raise BadMarkError(f"`{escape_text(text[:_SHOWN])}` is no mark")
    return text


def prefix_of(mark: str) -> str:
    """What every name of this installation begins with: 12 characters (rule 2)."""
    return f"tb_{parse_mark(mark)}_"


def pattern_of(marks: Collection[str]) -> str:
    """A regular expression of exactly the names that have one of these marks, as `MINTED` is one (rule 2).

    Raises:
        BadMarkError: One of them is none.
    """
    some = "|".join(sorted({parse_mark(one) for one in marks}))
    return f"^tb_({some})_[a-z2-7]{{35}}$" if some else "^$"


def name_of(mark: str, credential: str) -> str:
    """The name in the target of the credential with this id (rule 1).

    Raises:
        BadMarkError: The mark is none.
        ForeignNameError: The id is none of a credential.
    """
    found = _ID.fullmatch(credential)
    if found is None:
        raise ForeignNameError(f"`{escape_text(credential[:_SHOWN])}` is not the id of a credential")
    return prefix_of(mark) + found[1]


def id_of(mark: str, name: str) -> str:
    """The id of the credential that a target shows under this name.

    Raises:
        BadMarkError: The mark is none.
        ForeignNameError: The name is not of this installation's making (rule 2).
    """
    prefix = prefix_of(mark)
    if not name.startswith(prefix) or _REST.fullmatch(name[len(prefix) :]) is None:
        raise ForeignNameError(
            f"`{escape_text(name[:_SHOWN])}` is no name of this installation's credentials"
        )
    return f"{ID_PREFIX}_{name[len(prefix) :]}"


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

"""What a credential is: a row, which the target has never seen whole.

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
"""

from __future__ import annotations

from dataclasses import field
from enum import Enum
from typing import Final

from taskbound.core.clock import Instant, seconds
from taskbound.core.credential.errors import BadCredentialLifeError
from taskbound.core.credential.state import CredentialState
from taskbound.core.dataclass import dataclass

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

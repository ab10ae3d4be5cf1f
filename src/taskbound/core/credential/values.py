"""A credential: its row, states, name in the target, lease, due time, secret and recipient.

`values`: a credential ends with its task at the latest, and by itself in the target within `GRACE` after
that, even if all Taskbound processes are gone (I-03). The target's end is never before the row's, because
a fast clock there would shorten the grant. Its id derives from its action, so an action has at most one
credential. A kind without an action is a preflight's *canary*; a sweep found one without both. The
requester must acknowledge the secret within `HANDED_OUT_WITHIN` (K10). A permitted renewal is stored
beside the row's end until the target is informed; its outcome decides its action's outcome.

`state` (design 5; I-01 to I-07, I-12, I-14): a credential begins *journaled*, with nothing in the target;
one found by a sweep begins *revoking*. A mint is attempted once; a lost mint is revoked and never
repeated. Each end leads to *revoking*, which never leads back to active. Only the target's own state
leaves *revoking*: *gone*, or *unsupported* with a known end; errors, time and attempts do not (I-06). Each
renewal has a decision of its own; any end takes precedence. A credential that reappears (restored data, a
late mint) is revoked again (I-14); a repeated proof that it is gone changes nothing (I-05).

`name`: `tb_`, the installation's mark, `_` and the id without `crd_`: 47 characters of a-z, 2-7 and `_`,
which fit all known targets (PostgreSQL 63 bytes, STS 64 characters) without quoting (A218). The mark
separates installations that share a target; a sweep touches only exact names with its mark (I-14).

`lease`: a report counts only with the current fence, so a stopped process that resumes reports nothing. A
lease covers one call of a target; the holder starts nothing in the last `MARGIN`. A mint of a lost lease
may arrive until `LATE` after the lease, longer than any statement may wait (I-02).

`due`:

1. A journaled credential is minted at once, and ends if no broker starts within `MINTED_WITHIN` or the
   mint's lease expires.
2. An unacknowledged credential ends with its hand-out, any other at its own end.
3. A renewal is done at once, and after a failure with the waits of rule 4.
4. A revocation is tried at once, then 0.5, 1, 2, 4 and repeatedly 5 s after the start of the failed
   attempt; 5 s bound the time from a target's recovery to the end (T4). A longer attempt is followed at
   once. A revocation is overdue after `OVERDUE` (I-06).
5. A gone credential is looked up once more if a late mint is possible.

`secret`: `tbs_`, 256 bits as 43 characters of base64url, and the CRC-32 of both as 6 characters. The form
serves secret scanners and authenticates nothing; anyone can produce it. A scan reports positions only.

`recipient`: 32 bytes as canonical base64url without padding, below 2^255 - 19, because X25519 reduces
larger values and a key must have one text (RFC 7748, section 5). Points of small order (coordinates 0, 1,
-1 and the two of order 8) are refused: the shared secret would be zero for any peer, so anyone could open
the data (sections 6.1 and 7).

`keeping`: a credential without a name in its target is ended by data sealed to the broker, for this
credential of this target only. A lost secret without kept data cannot be ended; it is reported as expired,
never as gone, after the target's longest lifetime, counted from when the last answer to its mint could
arrive. If no mint began, the target gave nothing. The row proves this unless the store was restored; the
broker's memory detects that (`surfaces.broker.memory`).
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import field
from enum import Enum
from typing import TYPE_CHECKING, Final
from zlib import crc32

from taskbound.core.action.text import escape_text
from taskbound.core.clock import Duration, Instant, milliseconds, seconds
from taskbound.core.credential.errors import (
    BadCredentialLifeError,
    BadMarkError,
    BadRecipientError,
    ForeignNameError,
    LeaseHeldError,
    LeaseLostError,
    NoRecipientError,
    UnwantedRecipientError,
)
from taskbound.core.dataclass import dataclass
from taskbound.core.tool import Binding
from taskbound.core.tool.slot import Slot
from taskbound.core.transition import Transitions

if TYPE_CHECKING:
    from collections.abc import Collection


class CredentialState(Enum):
    """State of a credential; rows and records hold these values."""

    JOURNALED = "journaled"
    MINTING = "minting"
    ACTIVE = "active"
    REVOKING = "revoking"
    REVOKED = "revoked"
    UNSUPPORTED = "unsupported"


class CredentialEvent(Enum):
    """Events that change the state of a credential."""

    MINT = "mint"
    """A broker is about to call the target."""
    SHOW = "show"
    """The target shows it, and its secret is sealed to who asked."""
    ACKNOWLEDGE = "acknowledge"
    """Who asked says to have its secret."""
    PROLONG = "prolong"
    """A decision lets it live longer; its target knows nothing of that yet."""
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
    """The target shows what was gone."""


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
    """Returns the state after the event; raises WrongStateError if the event is not allowed."""
    return CREDENTIAL_TRANSITIONS.advance(state, event)


NEVER: Final = Instant(0)
"""The instant of what has not happened, and of what is not due."""
GRACE: Final = seconds(60)
"""How long after the row's end a target may still accept the credential (rule 2)."""
HANDED_OUT_WITHIN: Final = seconds(10)
"""How long a secret waits for its acknowledgement (rule 4)."""
SHORTEST: Final = 1
"""Seconds: what lives for less is not minted."""
_SECOND: Final = seconds(1)
_SKEW: Final = seconds(30)
"""How far a target's clock may be ahead of ours without cutting short what was granted (rule 2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The holder of a credential and the end of the hold (`lease`)."""

    fence: int = 0
    """A number that grows with each lease of the credential; 0 before the first."""
    until: Instant = NEVER
    """The end of the lease; `NEVER` if it is released."""


class RenewalState(Enum):
    """State of a renewal; rows hold these values."""

    WANTED = "wanted"
    """It was permitted, and the target was not told of it yet, as far as is known."""
    DONE = "done"
    """The target was informed; the row has the new end."""
    FAILED = "failed"
    """The target could not be brought to it, or the credential ended before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """The last renewal of a credential."""

    action: str
    """The action that was permitted."""
    ends: Instant
    """When the credential is to end by it."""
    record: int
    """The number of the record of its permit (`AuditReads.numbered`)."""
    state: RenewalState = RenewalState.WANTED
    attempts: int = 0
    """Failed attempts to inform the target; used for waits and display only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """One credential as stored."""

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
    """What its target needs to end it, sealed to the broker; empty where its name is enough."""
    version: int = 1
    """Grows with each change; a row is written over the one that it was made of, and over no other."""


def end_of(asked: int, most: int, now: Instant, *ends: Instant) -> Instant:
    """The end of a credential requested now (rule 2); raises BadCredentialLifeError.

    `asked` and `most` are seconds, `asked` 0 is the maximum; `ends` are the deadlines of task and ancestors.
    """
    if not 0 <= asked <= most:
        raise BadCredentialLifeError(f"such a credential lives {SHORTEST} to {most} seconds")
    end = min([Instant(now + seconds(asked or most)), *ends])
    if end - now < _SECOND:
        raise BadCredentialLifeError("less than a second is left of the task")
    return end


def credential_of(action: str) -> str:
    return f"crd_{action.removeprefix('act_')}"


def is_canary(credential: Credential) -> bool:
    return bool(credential.kind) and not credential.action


def is_renewing(credential: Credential) -> bool:
    """True if a renewal was permitted and the target must be informed."""
    renewal = credential.renewal
    return renewal is not None and renewal.state is RenewalState.WANTED


def latest_end(credential: Credential) -> Instant:
    """The latest end that the target may know."""
    renewal = credential.renewal
    return credential.ends if renewal is None else max(credential.ends, renewal.ends)


def end_in_target(ends: Instant) -> Instant:
    """The end for the target in whole seconds, after the row's and within `GRACE`."""
    later = ends + _SKEW + _SECOND - 1
    return Instant(later - later % _SECOND)


def last_use(credential: Credential) -> Instant:
    """The latest instant at which the target accepts it, if nothing ends it before."""
    if credential.state is CredentialState.UNSUPPORTED:
        return credential.ends  # as its target said
    return end_in_target(latest_end(credential))


def handed_out_until(credential: Credential) -> Instant:
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
    """Returns the text if it is a mark (8 characters of a-z, 2-7); raises BadMarkError."""
    if _MARK.fullmatch(text) is None:
        raise BadMarkError(f"`{escape_text(text[:_SHOWN])}` is no mark")
    return text


def prefix_of(mark: str) -> str:
    return f"tb_{parse_mark(mark)}_"


def pattern_of(marks: Collection[str]) -> str:
    """A regular expression for exactly the names with one of these marks."""
    some = "|".join(sorted({parse_mark(one) for one in marks}))
    return f"^tb_({some})_[a-z2-7]{{35}}$" if some else "^$"


def name_of(mark: str, credential: str) -> str:
    found = _ID.fullmatch(credential)
    if found is None:
        raise ForeignNameError(f"`{escape_text(credential[:_SHOWN])}` is not the id of a credential")
    return prefix_of(mark) + found[1]


def id_of(mark: str, name: str) -> str:
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
    return now < credential.lease.until


def take_lease(credential: Credential, now: Instant) -> Lease:
    if is_leased(credential, now):
        raise LeaseHeldError(f"`{credential.id}` is in another worker's hand")
    return Lease(fence=credential.lease.fence + 1, until=Instant(now + LEASE))


def is_never_begun(credential: Credential, now: Instant) -> bool:
    """True if no mint began or will begin; only believed while the row would still show a begun mint."""
    begun = credential.late != NEVER or credential.shown != NEVER
    return credential.state not in LIVE and not begun and now < credential.made + LATE


def require_lease(credential: Credential, fence: int, now: Instant) -> None:
    """Raises LeaseLostError unless `fence` is that of the current lease."""
    if fence != credential.lease.fence or not is_leased(credential, now):
        raise LeaseLostError(f"`{credential.id}` was in this worker's hand, and is no more")


def let_go(credential: Credential) -> Lease:
    return Lease(fence=credential.lease.fence, until=NEVER)


MINTED_WITHIN: Final = seconds(10)
"""How long a row waits for a broker."""
OVERDUE: Final = seconds(60)
LONGEST_WAIT: Final = seconds(5)
_FIRST_WAIT: Final = milliseconds(500)
_DOUBLINGS: Final = 4
"""After so many failures the wait is the longest; no larger power is computed."""


class Step(Enum):
    """What a due credential needs next."""

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
    """The next step, or None if nothing is due."""
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
    """The next due time, `NEVER` if it is over; `tried` is when the just failed revocation began."""
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
    return credential.state is CredentialState.REVOKING and age_of(credential, now) >= OVERDUE


def age_of(credential: Credential, now: Instant) -> Duration:
    """How long its revocation has been open; 0 if there is none."""
    if credential.state is not CredentialState.REVOKING:
        return Duration(0)
    return Duration(max(0, now - credential.ended))


def _over_of(credential: Credential) -> Instant:
    waits = credential.ends if credential.acknowledged else handed_out_until(credential)
    return min(waits, credential.ends)


def _renewed_at(credential: Credential, now: Instant) -> Instant:
    if credential.renewal is None or not is_renewing(credential):
        return credential.ends
    return max(credential.lease.until, Instant(now + _wait_after(credential.renewal.attempts)))


def _wait_after(attempts: int) -> Duration:
    if not attempts:
        return Duration(0)
    return Duration(min(LONGEST_WAIT, _FIRST_WAIT << min(attempts - 1, _DOUBLINGS)))


SECRET_BYTES: Final = 32
_PREFIX: Final = "tbs_"
_BODY: Final = 43
_FORM: Final = re.compile(r"(?=(tbs_[A-Za-z0-9_-]{49}))")
"""Whatever stands around it: a database's file has fields without anything between them."""


def spell_secret(raw: bytes) -> str:
    """The 53 characters of a secret, from `SECRET_BYTES` random bytes."""
    if len(raw) != SECRET_BYTES:
        raise ValueError(f"a secret is made of {SECRET_BYTES} bytes")
    body = _PREFIX + _plain(raw)
    return body + _sum(body)


def find_secrets(text: str) -> tuple[int, ...]:
    """The start positions of secrets of this form in a text."""
    return tuple(found.start() for found in _FORM.finditer(text) if _fits(found[1]))


def _fits(text: str) -> bool:
    body = text[: len(_PREFIX) + _BODY]
    return text == body + _sum(body)


def _sum(body: str) -> str:
    return _plain(crc32(body.encode()).to_bytes(4, "big"))


def _plain(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")


_TEXT: Final = re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")
"""32 bytes: the last character has two bits that are zero (rule 1)."""
_PRIME: Final = 2**255 - 19
_SMALL_ORDER: Final = frozenset(
    {
        0,
        1,
        _PRIME - 1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
    }
)
"""Rule 2; the last two are those of order 8, as D. J. Bernstein lists them (cr.yp.to/ecdh.html)."""


def parse_recipient(text: str) -> str:
    if _TEXT.fullmatch(text) is None:
        raise BadRecipientError("a recipient is an X25519 public key: 43 characters of base64url")
    number = int.from_bytes(urlsafe_b64decode(f"{text}="), "little")
    if number >= _PRIME or number in _SMALL_ORDER:
        raise BadRecipientError("anybody could open what is sealed to this recipient, or it has another text")
    return text


def require_recipient(recipient: str, *, credential: bool) -> None:
    """Raises unless a recipient is named exactly for a credential request."""
    if not credential:
        if recipient:
            raise UnwantedRecipientError("a recipient is named, and no credential is asked for")
    elif not recipient:
        raise NoRecipientError("a credential is requested without a recipient key")
    else:
        parse_recipient(recipient)


_FIRST: Final = 1
"""A credential is minted once: there is no second value."""


def kept_binding(credential: Credential) -> Binding:
    return Binding(
        namespace=credential.namespace,
        server=credential.target,
        identity=credential.identity,
        slot=Slot(kind="kept", name=credential.id).text,
        number=_FIRST,
    )


def lost_until(credential: Credential, lasts: int) -> Instant:
    """When anything given for it has expired; `lasts` is the target's longest life in seconds."""
    last = max(credential.shown, credential.late)
    if last == NEVER:
        last = Instant(credential.made + MINTED_WITHIN + LEASE + LATE)
    return Instant(last + seconds(lasts))


def is_unbegun(credential: Credential) -> bool:
    """True if the row shows that no mint began before the end."""
    return bool(credential.kind) and credential.shown == NEVER and credential.late == NEVER

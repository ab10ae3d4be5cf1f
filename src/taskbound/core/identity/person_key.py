"""Keys that persons sign with: enrollment, OpenSSH keys and passkeys (Web Authentication, level 3).

`person_key`: A key counts only while it is enrolled, cooled down and its person is in the organization;
this is checked at each use. A `demo` namespace has relaxed rules. The count of keys that a namespace ever
had never decreases.

`enrollment`: The new key signs the enrollment statement, which holds a nonce. A valid key of another human
must sign it too; if only this person has one, that key; if no key is valid any more, the account that owns
the data directory vouches. The first key needs no voucher. The first key of a namespace counts at once,
because no other approval exists that it could undermine. Later keys cool down for a day, in a `demo`
namespace not at all. A key file that an agent's account can use without a passphrase is refused outside
`demo` namespaces.

`passkey`: Each part of the client data and authenticator data must have one expected value; each mismatch
has its own error. The challenge is the SHA-256 of the statement that an OpenSSH key would sign. The origin
must be the page that this daemon served, at its own port, without cross-origin frames. The RP ID is
`localhost` without a port, so only the origin tells local programs apart. User presence and user
verification are required each time. The backup eligibility of a key is recorded at enrollment and must not
change. Only ES256 and EdDSA over Ed25519 are accepted.
"""

from __future__ import annotations

import re
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Duration, Instant, hours
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, MalformedError
from taskbound.core.identity.person import PersonState, human_of
from taskbound.core.transition import Transitions

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from taskbound.core.identity.person import Person


class BadPersonKeyError(MalformedError):
    """The public key is malformed or of an unsupported kind."""

    code = "bad-person-key"
    remedy = "make one with `ssh-keygen -t ed25519-sk`, or `ssh-keygen -t ed25519` with a passphrase"


class BadSignatureError(DeniedError):
    """The signature is not by that key over that exact statement."""

    code = "bad-signature"
    remedy = "sign the statement as it is shown now, with the key that is enrolled"


class NotStandingError(DeniedError):
    """The key or its person does not count now."""

    code = "key-not-standing"
    remedy = "look with `taskbound person key list`"


class PersonKeyKind(Enum):
    """How a key signs."""

    OPENSSH = "openssh"
    """`ssh-keygen -Y sign`: an SSHSIG over the statement."""
    PASSKEY = "passkey"
    """WebAuthn: an assertion whose challenge is the statement's digest."""


class Custody(Enum):
    """Where the private half was found to be at enrollment."""

    HARDWARE = "hardware"
    """In a device that asks for a touch each time; the key's own kind says so."""
    PASSPHRASE = "passphrase"  # noqa: S105  # the word itself
    """A file that asks for its passphrase."""
    BARE = "bare"
    """A file without a passphrase: any reader can sign."""
    SYNCED = "synced"
    """A synced passkey; each device verifies the user each time."""
    UNSEEN = "unseen"
    """Unknown: an SSH agent holds it, or the signature was made elsewhere."""


class PersonKeyState(Enum):
    """State of a person's key."""

    PROPOSED = "proposed"
    PROVEN = "proven"
    """It has signed and awaits a voucher."""
    ENROLLED = "enrolled"
    WITHDRAWN = "withdrawn"


class PersonKeyEvent(Enum):
    """Events that change the state of a key."""

    PROVE = "prove"
    ENROLL = "enroll"
    WITHDRAW = "withdraw"


PERSON_KEY_TRANSITIONS: Final[Transitions[PersonKeyState, PersonKeyEvent]] = Transitions(
    word="the key",
    moves={
        (PersonKeyState.PROPOSED, PersonKeyEvent.PROVE): PersonKeyState.PROVEN,
        (PersonKeyState.PROPOSED, PersonKeyEvent.WITHDRAW): PersonKeyState.WITHDRAWN,
        (PersonKeyState.PROVEN, PersonKeyEvent.ENROLL): PersonKeyState.ENROLLED,
        (PersonKeyState.PROVEN, PersonKeyEvent.WITHDRAW): PersonKeyState.WITHDRAWN,
        (PersonKeyState.ENROLLED, PersonKeyEvent.WITHDRAW): PersonKeyState.WITHDRAWN,
    },
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonKey:
    """The public half of a person's key."""

    namespace: str
    id: str
    person: str
    kind: PersonKeyKind
    public: bytes
    """OpenSSH: the key blob (RFC 4253 §6.6). Passkey: what its adapter keeps."""
    fingerprint: str
    """`SHA256:…`, as `ssh-keygen -l` says it; of a passkey, of its COSE key."""
    enrolled: Instant
    """When it was enrolled; 0 before."""
    usable_from: Instant
    """When its word begins to count; 0 before it is enrolled."""
    enrolled_by: str
    """The voucher: a person, `first` for a first key, `owner` for the data directory's account."""
    state: PersonKeyState = PersonKeyState.PROPOSED
    custody: Custody = Custody.UNSEEN
    nonce: str = ""
    """Of its enrollment statement."""
    label: str = ""
    """What the person calls it."""
    counter: int = 0
    """The last counter of a device that counts its signatures."""
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """Settings of a whole namespace."""

    name: str
    demo: bool = False
    """Keys need no protection and no cooling. Shown wherever it matters."""
    keys: int = 0
    """How many keys were ever enrolled."""
    version: int = 0
    """0 while nothing was ever said of it."""


def move_person_key(key: PersonKey, event: PersonKeyEvent) -> PersonKey:
    """Returns the key after the event; raises WrongStateError if the event is not allowed."""
    state = PERSON_KEY_TRANSITIONS.advance(key.state, event)
    return replace(key, state=state, version=key.version + 1)


def why_not_standing(key: PersonKey, persons: Mapping[str, Person], now: Instant) -> str:
    """Why the key does not count now, in words; empty if it does."""
    person = persons.get(key.person)
    if person is None or person.namespace != key.namespace:
        return f"`{key.person}` is not a person of this namespace"
    if person.state is not PersonState.PRESENT:
        return f"`{key.person}` has left"
    if key.state is not PersonKeyState.ENROLLED:
        return f"key `{key.id}` of `{key.person}` is {key.state.value}"
    if now < key.usable_from:
        return f"key `{key.id}` of `{key.person}` was enrolled too lately to count"
    return ""


def require_standing(key: PersonKey, persons: Mapping[str, Person], now: Instant) -> None:
    """Raises NotStandingError unless the key counts now; called when it signs and at each use."""
    why = why_not_standing(key, persons, now)
    if why:
        raise NotStandingError(why)


COOLING: Final[Duration] = hours(24)
"""How long a key waits until its word counts."""
ENROLLS: Final = "taskbound statement: enroll a person key, version 1"
"""The first line of each enrollment statement, and of no other statement."""
_OTHERS: Final = 0o077


class ExposedPersonKeyError(DeniedError):
    """A program of an agent's account could use the key without consent."""

    code = "person-key-exposed"
    remedy = "give it a passphrase with `ssh-keygen -p -f FILE`, or use one in hardware (`ed25519-sk`)"


class UnvouchedError(DeniedError):
    """A required voucher for the key is missing."""

    code = "unvouched"
    remedy = "ask a person that `taskbound person key show` names"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFile:
    """What the person's command observed of the private key file."""

    encrypted: bool
    mode: int
    uid: int


class RequiredVouchers(Enum):
    """Who must sign beside the new key."""

    ANOTHER = "another"
    """Another human whose key counts."""
    OWN = "own"
    """The person, with a key of theirs that counts."""
    NOBODY = "nobody"
    """No voucher is needed for the first key."""
    OWNER = "owner"
    """The account that owns the data directory: there were keys, and none counts now."""


def custody_of(*, hardware: bool, file: KeyFile | None, copiable: bool = False) -> Custody:
    if hardware:
        return Custody.HARDWARE
    if copiable:
        return Custody.SYNCED
    if file is None:
        return Custody.UNSEEN
    return Custody.PASSPHRASE if file.encrypted else Custody.BARE


def require_custody(
    custody: Custody, file: KeyFile | None, *, agent_accounts: Collection[int], namespace: Namespace
) -> None:
    if namespace.demo or custody is not Custody.BARE:
        return
    if file is None or file.mode & _OTHERS or file.uid in agent_accounts:
        raise ExposedPersonKeyError("the key's file has no passphrase, and an account of agents can read it")


def vouching_of(
    person: str, persons: Mapping[str, Person], keys: Iterable[PersonKey], namespace: Namespace, now: Instant
) -> tuple[RequiredVouchers, tuple[str, ...]]:
    """The required voucher kind for a person's new key, and the possible vouchers."""
    own = human_of(person, persons)
    counting = {one.person for one in keys if not why_not_standing(one, persons, now)}
    others = sorted(name for name in counting if human_of(name, persons) != own)
    if others:
        return RequiredVouchers.ANOTHER, tuple(others)
    if counting:
        return RequiredVouchers.OWN, tuple(sorted(counting))
    return (RequiredVouchers.OWNER if namespace.keys else RequiredVouchers.NOBODY), ()


def require_voucher(key: PersonKey, voucher: PersonKey, can: Collection[str]) -> None:
    """Raises UnvouchedError unless the voucher's person is in `can` and the keys differ."""
    if voucher.namespace != key.namespace or voucher.id == key.id or voucher.person not in can:
        raise UnvouchedError(f"`{voucher.person}` can't vouch for a key of `{key.person}`")


def usable_from(namespace: Namespace, now: Instant) -> Instant:
    return now if namespace.demo or namespace.keys == 0 else Instant(now + COOLING)


def enroll(key: PersonKey, namespace: Namespace, *, by: str, now: Instant) -> PersonKey:
    """Returns the enrolled key; raises WrongStateError unless it has signed and is still proposed."""
    after = move_person_key(key, PersonKeyEvent.ENROLL)
    return replace(after, enrolled=now, usable_from=usable_from(namespace, now), enrolled_by=by)


def enrollment_statement(key: PersonKey) -> bytes:
    """The statement that the key and its voucher sign; unique per proposal."""
    lines = (
        ENROLLS,
        f"namespace: {key.namespace}",
        f"person: {key.person}",
        f"key: {key.fingerprint}",
        f"kind: {key.kind.value}",
        f"private half: {key.custody.value}",
        f"proposal: {key.id}",
        f"nonce: {key.nonce}",
    )
    return ("\n".join(lines) + "\n").encode()


SITE: Final = "localhost"
"""What a browser keeps our passkeys for (the `rpId`)."""
_ORIGIN: Final = re.compile(r"http://localhost:[1-9][0-9]{0,4}")
_PRESENT, _VERIFIED, _COPIABLE, _COPIED, _KEY, _MORE = 0x01, 0x04, 0x08, 0x10, 0x40, 0x80
_RESERVED: Final = 0x22


class PasskeyUnreadableError(BadSignatureError):
    """The browser's data is ambiguous, malformed or too large."""

    code = "passkey-unreadable"
    remedy = "open the page anew; another browser may do what this one does not"


class PasskeyTypeError(BadSignatureError):
    """The ceremony has another type than requested."""

    code = "passkey-type"
    remedy = "open the page anew, and sign there"


class PasskeyChallengeError(BadSignatureError):
    """The signed challenge is not that of the statement."""

    code = "passkey-challenge"
    remedy = "open the page anew, and sign what it shows"


class PasskeyOriginError(BadSignatureError):
    """Another page requested the signature."""

    code = "passkey-origin"
    remedy = "sign only on the page that you have opened yourself; who asked you to sign elsewhere?"


class PasskeyFramedError(BadSignatureError):
    """The request came from a cross-origin frame."""

    code = "passkey-framed"
    remedy = "sign only on the page that you have opened yourself; who asked you to sign elsewhere?"


class PasskeySiteError(BadSignatureError):
    """The key was created or used for another RP ID."""

    code = "passkey-site"
    remedy = "enroll a passkey with `taskbound person key add --passkey`"


class PasskeyAbsentError(BadSignatureError):
    """The authenticator reports no user presence."""

    code = "passkey-absent"
    remedy = "touch the device when it asks"


class PasskeyUnverifiedError(BadSignatureError):
    """The authenticator reports no user verification."""

    code = "passkey-unverified"
    remedy = "give the device a PIN, a finger or a face, and use it when it asks"


class PasskeyFlagsError(BadSignatureError):
    """The authenticator data has unexpected or missing flags."""

    code = "passkey-flags"
    remedy = "open the page anew; another device may do what this one does not"


class PasskeyCopyError(BadSignatureError):
    """The backup eligibility differs from the one at enrollment."""

    code = "passkey-copy"
    remedy = "withdraw the key, and enroll another one"


class PasskeyKeyError(BadSignatureError):
    """The signature names another credential id."""

    code = "passkey-key"
    remedy = "sign with the passkey that the page names"


class CountsBackError(BadSignatureError):
    """The signature counter decreased; the authenticator may have been cloned."""

    code = "counts-back"
    remedy = "sign again; if it stays so withdraw the key with `taskbound person key withdraw`"


class PasskeyAlgorithmError(BadPersonKeyError):
    """The passkey uses an unsupported algorithm."""

    code = "passkey-algorithm"
    remedy = "use a device that makes ES256 or EdDSA keys; each that is sold today does"


class Purpose(Enum):
    """The ceremony type in the client data."""

    MAKE = "webauthn.create"
    SIGN = "webauthn.get"


class PasskeyAlgorithm(Enum):
    """Signature algorithms, with COSE numbers (RFC 9053)."""

    ES256 = -7
    EDDSA = -8


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientData:
    """The client data: origin and purpose of the request."""

    type: str
    challenge: bytes
    origin: str
    framed: bool
    """Whether it was in a frame of another site, or names the page above it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceData:
    """The authenticator data."""

    site: bytes
    """SHA-256 of the site that it used the key for."""
    flags: int
    counter: int
    rest: bytes
    """What follows the fixed part: a new key's data, and nothing else."""

    @property
    def copiable(self) -> bool:
        """True if the key may be backed up to other devices."""
        return bool(self.flags & _COPIABLE)


def require_asked_here(found: ClientData, purpose: Purpose, *, challenge: bytes, origin: str) -> None:
    """Raises the matching passkey error unless our own page requested this signature.

    `challenge` is that of the statement, `origin` that of the served page.
    """
    if found.type != purpose.value:
        raise PasskeyTypeError(f"the passkey was used for `{found.type}`, not for `{purpose.value}`")
    if found.challenge != challenge:
        raise PasskeyChallengeError("the passkey has signed something else than the statement")
    if found.origin != origin or not _ORIGIN.fullmatch(origin):
        raise PasskeyOriginError(f"the passkey was asked by the page of `{found.origin}`, not `{origin}`")
    if found.framed:
        raise PasskeyFramedError("the passkey was asked in a frame of another site")


def require_device(found: DeviceData, *, site: bytes, fresh: bool, copiable: bool | None) -> None:
    """Raises the matching passkey error unless the authenticator verified the user for our site.

    `site` is the SHA-256 of the RP ID; `copiable` is the recorded eligibility, None for a new key.
    """
    if found.site != site:
        raise PasskeySiteError("the passkey was made, or used, for another site")
    if not found.flags & _PRESENT:
        raise PasskeyAbsentError("the passkey's device reports no user presence")
    if not found.flags & _VERIFIED:
        raise PasskeyUnverifiedError("the passkey's device does not say that it knew the person")
    if copiable not in {None, found.copiable} or (found.flags & _COPIED and not found.copiable):
        raise PasskeyCopyError("the passkey's device says otherwise of copies than when it was enrolled")
    more = found.flags & (_RESERVED | _MORE)
    if more or bool(found.flags & _KEY) is not fresh or bool(found.rest) is not fresh:
        raise PasskeyFlagsError(f"the passkey's device says more or less than was asked ({found.flags:#04x})")

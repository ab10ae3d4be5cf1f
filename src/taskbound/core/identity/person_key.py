"""What a person signs with, how it is enrolled, and passkeys (Web Authentication, level 3).

Of `person_key`:

1. A key counts for its person only while it is enrolled, after its cooling period, and while the person is of
   the organization; each of that is asked anew whenever a signature is to count.
2. A namespace that says `demo` is for trying out; how many keys it ever had is never less than before.

Of `enrollment`:

1. Enrolling proves possession: the key itself signs the enrollment statement, which holds a nonce of this
   namespace. Where another human has a key that counts, one of them signs the same statement; where only
   the person has one, that one does. Where nobody ever had one there is nobody to ask. Where nobody has
   one any more, the account that owns the data directory vouches.
2. The first key that a namespace ever had counts at once: nobody else's word is there yet that it could be
   used beside, and nobody who would have to notice. Every later one cools for a day, or not at all where the
   namespace says `demo`.
3. A key that a program of an agent's account can use by itself proves nothing: a file without a passphrase
   that such an account can read is refused, unless the namespace says `demo`.

Of `passkey`:

1. What is signed is the browser's account of where it was asked, and for what, and the device's account of
   itself. Each part is held to one value, and each refusal has a name of its own.
2. The challenge is the SHA-256 of exactly the statement that an OpenSSH key would sign: so the signature
   binds what the statement names, and answers nothing else.
3. It was asked for by the page that this daemon served, at its own port, and in no other site's frame. The
   site of a passkey is `localhost`, without a port: whatever listens on this machine may ask for a signature,
   and only the origin tells by whom it was asked.
4. The person was there, and was known to the device (a PIN, a finger, a face), each time.
5. Whether a key is copied between devices is said when it is enrolled, and stays so.
6. Signatures are ES256 or EdDSA over Ed25519. Every algorithm more is one more that must be read in one way.
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
    """A public key that can't be read, or of a kind that nobody signs with here."""

    code = "bad-person-key"
    remedy = "make one with `ssh-keygen -t ed25519-sk`, or `ssh-keygen -t ed25519` with a passphrase"


class BadSignatureError(DeniedError):
    """The signature is not by that key over exactly that statement."""

    code = "bad-signature"
    remedy = "sign the statement as it is shown now, with the key that is enrolled"


class NotStandingError(DeniedError):
    """The key, or its person, does not count now."""

    code = "key-not-standing"
    remedy = "look with `taskbound person key list`"


class PersonKeyKind(Enum):
    """How a key signs."""

    OPENSSH = "openssh"
    """`ssh-keygen -Y sign`: an SSHSIG over the statement."""
    PASSKEY = "passkey"
    """WebAuthn: an assertion whose challenge is the statement's digest."""


class Custody(Enum):
    """What was found out about where the private half is, when the key was enrolled."""

    HARDWARE = "hardware"
    """In a device that asks for a touch each time; the key's own kind says so."""
    PASSPHRASE = "passphrase"  # noqa: S105  # the word itself
    """A file that asks for its passphrase."""
    BARE = "bare"
    """A file without a passphrase: whoever can read it can sign."""
    SYNCED = "synced"
    """A passkey that is copied between devices by whoever keeps it; each asks for its person each time."""
    UNSEEN = "unseen"
    """Nobody looked: an agent holds it, or the signature came from elsewhere."""


class PersonKeyState(Enum):
    """How far a key has come."""

    PROPOSED = "proposed"
    PROVEN = "proven"
    """It has signed; somebody has yet to vouch for it."""
    ENROLLED = "enrolled"
    WITHDRAWN = "withdrawn"


class PersonKeyEvent(Enum):
    """What can happen to a key."""

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
    """The public half of what a person signs with."""

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
    """Who vouched: a person, `first` where there was nobody, `owner` for the data directory's account."""
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
    """What is said of a whole namespace (rule 2)."""

    name: str
    demo: bool = False
    """Keys need no protection and no cooling. Shown wherever it matters."""
    keys: int = 0
    """How many keys were ever enrolled."""
    version: int = 0
    """0 while nothing was ever said of it."""


def move_person_key(key: PersonKey, event: PersonKeyEvent) -> PersonKey:
    """The key after the event.

    Raises:
        WrongStateError: It can't happen now.
    """
    state = PERSON_KEY_TRANSITIONS.advance(key.state, event)
    return replace(key, state=state, version=key.version + 1)


def why_not_standing(key: PersonKey, persons: Mapping[str, Person], now: Instant) -> str:
    """Why this key's word does not count now, in words; empty when it does (rule 1)."""
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
    """Go on only when the word of this key counts now; asked when it signs and when that is used (rule 1).

    Raises:
        NotStandingError: It does not, and why.
    """
    why = why_not_standing(key, persons, now)
    if why:
        raise NotStandingError(why)


COOLING: Final[Duration] = hours(24)
"""How long a key waits until its word counts (rule 2)."""
ENROLLS: Final = "taskbound statement: enroll a person key, version 1"
"""The first line of each enrollment statement, and of no other statement."""
_OTHERS: Final = 0o077


class ExposedPersonKeyError(DeniedError):
    """A program of an account that agents run under could use the key without asking anybody."""

    code = "person-key-exposed"
    remedy = "give it a passphrase with `ssh-keygen -p -f FILE`, or use one in hardware (`ed25519-sk`)"


class UnvouchedError(DeniedError):
    """Nobody who would have to vouch for the key has done so."""

    code = "unvouched"
    remedy = "ask somebody whom `taskbound person key show` names"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFile:
    """What the person's own command saw of the file that holds the private half."""

    encrypted: bool
    mode: int
    uid: int


class Vouching(Enum):
    """Who has to sign beside the key itself (rule 1)."""

    ANOTHER = "another"
    """Another human whose key counts."""
    OWN = "own"
    """The person, with a key of theirs that counts."""
    NOBODY = "nobody"
    """There is nobody yet."""
    OWNER = "owner"
    """The account that owns the data directory: there were keys, and none counts now."""


def custody_of(*, hardware: bool, file: KeyFile | None, copiable: bool = False) -> Custody:
    """What is known of where the private half is."""
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
    """Go on only with a key that no agent's account can use by itself (rule 3).

    Args:
        custody: What is known of the private half.
        file: What was seen of its file.
        agent_accounts: Every account under which an agent may run.
        namespace: Says whether it is `demo`.

    Raises:
        ExposedPersonKeyError: One of them could.
    """
    if namespace.demo or custody is not Custody.BARE:
        return
    if file is None or file.mode & _OTHERS or file.uid in agent_accounts:
        raise ExposedPersonKeyError("the key's file has no passphrase, and an account of agents can read it")


def vouching_of(
    person: str, persons: Mapping[str, Person], keys: Iterable[PersonKey], namespace: Namespace, now: Instant
) -> tuple[Vouching, tuple[str, ...]]:
    """Who has to vouch for a new key of this person, and the names of those who can (rule 1)."""
    own = human_of(person, persons)
    counting = {one.person for one in keys if not why_not_standing(one, persons, now)}
    others = sorted(name for name in counting if human_of(name, persons) != own)
    if others:
        return Vouching.ANOTHER, tuple(others)
    if counting:
        return Vouching.OWN, tuple(sorted(counting))
    return (Vouching.OWNER if namespace.keys else Vouching.NOBODY), ()


def require_voucher(key: PersonKey, voucher: PersonKey, can: Collection[str]) -> None:
    """Go on only when this key's person is one of those who can vouch for the other.

    Raises:
        UnvouchedError: They are not, or the key would vouch for itself.
    """
    if voucher.namespace != key.namespace or voucher.id == key.id or voucher.person not in can:
        raise UnvouchedError(f"`{voucher.person}` can't vouch for a key of `{key.person}`")


def usable_from(namespace: Namespace, now: Instant) -> Instant:
    """When the word of a key that is enrolled now begins to count (rule 2)."""
    return now if namespace.demo or namespace.keys == 0 else Instant(now + COOLING)


def enroll(key: PersonKey, namespace: Namespace, *, by: str, now: Instant) -> PersonKey:
    """The key, enrolled.

    Raises:
        WrongStateError: It has not signed, or is enrolled or withdrawn.
    """
    after = move_person_key(key, PersonKeyEvent.ENROLL)
    return replace(after, enrolled=now, usable_from=usable_from(namespace, now), enrolled_by=by)


def enrollment_statement(key: PersonKey) -> bytes:
    """What the key signs, and whoever vouches for it; no two proposals have the same."""
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
    """What the browser brought can't be read in one way only, or is larger than any that is taken."""

    code = "passkey-unreadable"
    remedy = "open the page anew; another browser may do what this one does not"


class PasskeyTypeError(BadSignatureError):
    """The key was used for something else than what was asked."""

    code = "passkey-type"
    remedy = "open the page anew, and sign there"


class PasskeyChallengeError(BadSignatureError):
    """Something else was signed than the statement."""

    code = "passkey-challenge"
    remedy = "open the page anew, and sign what it shows"


class PasskeyOriginError(BadSignatureError):
    """The signature was asked for by another page than the one that was opened for it."""

    code = "passkey-origin"
    remedy = "sign only on the page that you have opened yourself; who asked you to sign elsewhere?"


class PasskeyFramedError(BadSignatureError):
    """The signature was asked for in a frame of another site."""

    code = "passkey-framed"
    remedy = "sign only on the page that you have opened yourself; who asked you to sign elsewhere?"


class PasskeySiteError(BadSignatureError):
    """The key was made, or used, for another site."""

    code = "passkey-site"
    remedy = "enroll a passkey with `taskbound person key add --passkey`"


class PasskeyAbsentError(BadSignatureError):
    """Nobody touched the device."""

    code = "passkey-absent"
    remedy = "touch the device when it asks"


class PasskeyUnverifiedError(BadSignatureError):
    """The device does not say that it knew the person."""

    code = "passkey-unverified"
    remedy = "give the device a PIN, a finger or a face, and use it when it asks"


class PasskeyFlagsError(BadSignatureError):
    """The device says more than is read here, or less than was asked."""

    code = "passkey-flags"
    remedy = "open the page anew; another device may do what this one does not"


class PasskeyCopyError(BadSignatureError):
    """Whether the key is copied between devices is told otherwise than when it was enrolled."""

    code = "passkey-copy"
    remedy = "withdraw the key, and enroll another one"


class PasskeyKeyError(BadSignatureError):
    """The signature names another passkey than the statement."""

    code = "passkey-key"
    remedy = "sign with the passkey that the page names"


class CountsBackError(BadSignatureError):
    """The device counts back: it, or what it holds, may have been copied."""

    code = "counts-back"
    remedy = "sign again; if it stays so withdraw the key with `taskbound person key withdraw`"


class PasskeyAlgorithmError(BadPersonKeyError):
    """The passkey signs with an algorithm that is not taken."""

    code = "passkey-algorithm"
    remedy = "use a device that makes ES256 or EdDSA keys; each that is sold today does"


class Purpose(Enum):
    """What a browser was asked for, by its own word."""

    MAKE = "webauthn.create"
    SIGN = "webauthn.get"


class PasskeyAlgorithm(Enum):
    """How a passkey signs (rule 6), by its number in COSE (RFC 9053)."""

    ES256 = -7
    EDDSA = -8


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientData:
    """The browser's account of where it was asked, and for what."""

    type: str
    challenge: bytes
    origin: str
    framed: bool
    """Whether it was in a frame of another site, or names the page above it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceData:
    """The device's account of itself."""

    site: bytes
    """SHA-256 of the site that it used the key for."""
    flags: int
    counter: int
    rest: bytes
    """What follows the fixed part: a new key's data, and nothing else."""

    @property
    def copiable(self) -> bool:
        """Whether the key may be copied to other devices, by whoever keeps it."""
        return bool(self.flags & _COPIABLE)


def require_asked_here(found: ClientData, purpose: Purpose, *, challenge: bytes, origin: str) -> None:
    """Go on only with what our own page has asked for (rules 2 and 3).

    Args:
        found: What the browser says.
        purpose: What it was asked for.
        challenge: Of the statement.
        origin: Of the page that was served.

    Raises:
        PasskeyTypeError: It was asked for something else.
        PasskeyChallengeError: Something else was signed.
        PasskeyOriginError: Another page asked.
        PasskeyFramedError: The page was in a frame.
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
    """Go on only with a device that knew the person, for our site (rules 4 and 5).

    Args:
        found: What the device says.
        site: SHA-256 of our site.
        fresh: Whether a new key was made.
        copiable: What it said of copies when the key was enrolled; nothing yet for a new one.

    Raises:
        PasskeySiteError: It was for another site.
        PasskeyAbsentError: Nobody touched it.
        PasskeyUnverifiedError: It did not know the person.
        PasskeyCopyError: It says otherwise of copies.
        PasskeyFlagsError: It says more, or less.
    """
    if found.site != site:
        raise PasskeySiteError("the passkey was made, or used, for another site")
    if not found.flags & _PRESENT:
        raise PasskeyAbsentError("nobody touched the passkey's device")
    if not found.flags & _VERIFIED:
        raise PasskeyUnverifiedError("the passkey's device does not say that it knew the person")
    if copiable not in {None, found.copiable} or (found.flags & _COPIED and not found.copiable):
        raise PasskeyCopyError("the passkey's device says otherwise of copies than when it was enrolled")
    more = found.flags & (_RESERVED | _MORE)
    if more or bool(found.flags & _KEY) is not fresh or bool(found.rest) is not fresh:
        raise PasskeyFlagsError(f"the passkey's device says more or less than was asked ({found.flags:#04x})")

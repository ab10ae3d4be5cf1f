"""What a person signs with, and when its word counts.

1. A key counts for its person only while it is enrolled, after its cooling period, and while the person is of
   the organization; each of that is asked anew whenever a signature is to count.
2. A namespace that says `demo` is for trying out; how many keys it ever had is never less than before.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, MalformedError
from taskbound.core.identity.person import PersonState
from taskbound.core.transition import Transitions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.clock import Instant
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

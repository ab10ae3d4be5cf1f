"""How a key comes to be a person's.

1. Enrolling proves possession: the key itself signs the enrollment statement, which holds a nonce of this
   namespace. Where another human has a key that counts, one of them signs the same statement; where only
   the person has one, that one does. Where nobody ever had one there is nobody to ask. Where nobody has
   one any more, the account that owns the data directory vouches.
2. The first key that a namespace ever had counts at once: nobody else's word is there yet that it could be
   used beside, and nobody who would have to notice. Every later one cools for a day, or not at all where the
   namespace says `demo`.
3. A key that a program of an agent's account can use by itself proves nothing: a file without a passphrase
   that such an account can read is refused, unless the namespace says `demo`.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Duration, Instant, hours
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError
from taskbound.core.identity.person import human_of
from taskbound.core.identity.person_key import (
    Custody,
    PersonKeyEvent,
    move_person_key,
    why_not_standing,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from taskbound.core.identity.person import Person
    from taskbound.core.identity.person_key import Namespace, PersonKey


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

"""Enrolls persons' keys: proposed, proven by their own signature, vouched for.

A person proposes an own key; the account that owns the data directory may propose for anyone, as the key must
sign anyway. A key is enrolled once per namespace; a withdrawn one never returns.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Instant
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.identity import PersonState, UnknownIdentityError
from taskbound.core.identity.person_key import (
    PersonKey,
    PersonKeyEvent,
    PersonKeyState,
    RequiredVouchers,
    UnvouchedError,
    custody_of,
    enroll,
    enrollment_statement,
    move_person_key,
    require_custody,
    require_voucher,
    vouching_of,
)
from taskbound.flows.identity.monitors import tell_key
from taskbound.flows.identity.person import (
    IdentityExistsError,
    NotKeyHolderError,
    key_changed,
    require_holder,
    require_key,
    require_signed,
    withdrawn,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.core.audit import Event
    from taskbound.core.identity import Person
    from taskbound.core.identity.person_key import KeyFile, Namespace, PersonKeyKind
    from taskbound.flows.means import Actor, Adapters
    from taskbound.ports.store import Snapshot, Transaction


_OF_ONE: Final = 16


class TooManyKeysError(MalformedError):
    """The person has the maximum number of keys."""

    code = "too-many-keys"
    remedy = "withdraw one that is not used with `taskbound person key withdraw`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A proposed key."""

    person: str
    kind: PersonKeyKind
    public: bytes
    file: KeyFile | None = None
    """What was seen of the private half's file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The state of a key, and who must sign next."""

    key: PersonKey
    statement: bytes
    vouching: RequiredVouchers
    can: tuple[str, ...]
    """Names of those who can vouch."""


class Enrollments:
    """Enrolls keys; must be used from one thread at a time."""

    def __init__(self, adapters: Adapters) -> None:
        self._adapters = adapters

    def look(self, snapshot: Snapshot, namespace: str, key: str) -> Progress:
        found = require_key(snapshot, namespace, key)
        said = snapshot.identities.namespace(namespace)
        persons, keys = snapshot.identities.persons(namespace), snapshot.identities.person_keys(namespace)
        return _progress(found, said, persons, keys, self._adapters.clock.now())

    def propose(
        self, namespace: str, offer: Offer, actor: Actor, *, owns: bool, agent_accounts: Collection[int]
    ) -> Progress:
        """Records a proposal to be signed; `agent_accounts` are user ids that agents may run under."""
        if offer.person != actor.name and not owns:
            raise NotKeyHolderError(f"`{actor.name}` can't propose a key of `{offer.person}`")
        half = self._adapters.signatures.read(offer.kind, offer.public)
        custody = custody_of(hardware=half.hardware, copiable=half.copiable, file=offer.file)

        def work(tx: Transaction) -> Progress:
            persons, _ = tx.identities.lock_grantors(namespace)
            person = persons.get(offer.person)
            if person is None or person.state is not PersonState.PRESENT:
                raise UnknownIdentityError(f"no person is named `{offer.person}`")
            said = tx.identities.namespace(namespace)
            accounts = {*agent_accounts, *(one.uid for one in persons.values())}
            require_custody(custody, offer.file, agent_accounts=accounts, namespace=said)
            keys = tx.identities.lock_person_keys(namespace)
            now = self._adapters.clock.now()
            events = self._replace_open(tx, offer.person, half.fingerprint, keys, actor)
            key = PersonKey(
                namespace=namespace,
                id=self._adapters.chance.name("key"),
                person=offer.person,
                kind=offer.kind,
                public=half.public,
                fingerprint=half.fingerprint,
                enrolled=Instant(0),
                usable_from=Instant(0),
                enrolled_by="",
                custody=custody,
                nonce=self._adapters.chance.name("nce"),
                label=half.label,
            )
            tx.identities.put_person_key(key, expect=0)
            self._record(tx, namespace, [*events, key_changed("", key, actor)])
            return _progress(key, said, persons, keys, now)

        return self._adapters.store.write(work)

    def prove(self, namespace: str, key: str, signature: bytes, actor: Actor, *, owns: bool) -> Progress:
        """Takes the proposed key's own signature; enrolls it if no voucher is required."""

        def work(tx: Transaction) -> Progress:
            persons, _ = tx.identities.lock_grantors(namespace)
            keys = tx.identities.lock_person_keys(namespace)
            before = require_key(tx, namespace, key)
            require_holder(before, actor, owns=owns)
            now = self._adapters.clock.now()
            said = tx.identities.namespace(namespace)
            statement = enrollment_statement(before)
            self._adapters.signatures.verify(before, statement, signature)
            counted = replace(before, counter=self._adapters.signatures.counter(before, signature))
            after = move_person_key(counted, PersonKeyEvent.PROVE)
            tx.identities.put_person_key(after, expect=before.version)
            self._record(tx, namespace, [key_changed(before.state.value, after, actor)])
            vouching, _ = vouching_of(after.person, persons, keys, said, now)
            if vouching is RequiredVouchers.NOBODY:
                after = self._enroll(tx, after, said, "first", actor)
            return _progress(after, said, persons, keys, now)

        done = self._adapters.store.write(work)
        tell_key(self._adapters, done.key)
        return done

    def vouch(
        self, namespace: str, key: str, *, voucher: str, signature: bytes, actor: Actor, owns: bool
    ) -> Progress:
        """Enrolls the key; `voucher` is the signing key, '' for the account that owns the data directory."""

        def work(tx: Transaction) -> Progress:
            persons, _ = tx.identities.lock_grantors(namespace)
            keys = tx.identities.lock_person_keys(namespace)
            before = require_key(tx, namespace, key)
            now = self._adapters.clock.now()
            said = tx.identities.namespace(namespace)
            vouching, can = vouching_of(before.person, persons, keys, said, now)
            if vouching is RequiredVouchers.OWNER and not voucher:
                if not owns:
                    raise UnvouchedError("the account that owns the data directory has to vouch")
                after = self._enroll(tx, before, said, "owner", actor)
                return _progress(after, said, persons, keys, now)
            by = require_key(tx, namespace, voucher)
            require_voucher(before, by, can)
            statement = enrollment_statement(before)
            signed = require_signed(tx, self._adapters.signatures, by, statement, signature, now=now)
            after = self._enroll(tx, before, said, signed.person, actor, voucher=signed.id)
            return _progress(after, said, persons, keys, now)

        done = self._adapters.store.write(work)
        tell_key(self._adapters, done.key)
        return done

    def _replace_open(
        self, tx: Transaction, person: str, fingerprint: str, keys: tuple[PersonKey, ...], actor: Actor
    ) -> list[Event]:
        same = [one for one in keys if one.fingerprint == fingerprint]
        open_states = {PersonKeyState.PROPOSED, PersonKeyState.PROVEN}
        for one in same:
            if one.enrolled or (one.state in open_states and one.person != person):
                raise IdentityExistsError(f"that key is known already: it is `{one.id}` of `{one.person}`")
        again = [one for one in same if one.state in open_states]
        own = sum(one.person == person and one.state is not PersonKeyState.WITHDRAWN for one in keys)
        if own - len(again) >= _OF_ONE:
            raise TooManyKeysError(f"`{person}` has {_OF_ONE} keys, and can have no more")
        return [withdrawn(tx, one, actor, "it was proposed anew")[1] for one in again]

    def _enroll(
        self, tx: Transaction, key: PersonKey, said: Namespace, by: str, actor: Actor, voucher: str = ""
    ) -> PersonKey:
        after = enroll(key, said, by=by, now=self._adapters.clock.now())
        tx.identities.put_person_key(after, expect=key.version)
        counted = replace(said, keys=said.keys + 1, version=said.version + 1)
        tx.identities.put_namespace(counted, expect=said.version)  # two firsts at once: one conflicts
        event = key_changed(key.state.value, after, actor, voucher=voucher)
        self._record(tx, key.namespace, [event])
        return after

    def _record(self, tx: Transaction, namespace: str, events: list[Event]) -> None:
        tx.audit.append(namespace, self._adapters.writer, events, self._adapters.clock.now())


def _progress(
    key: PersonKey,
    said: Namespace,
    persons: Mapping[str, Person],
    keys: tuple[PersonKey, ...],
    now: Instant,
) -> Progress:
    vouching, can = vouching_of(key.person, persons, keys, said, now)
    return Progress(key=key, statement=enrollment_statement(key), vouching=vouching, can=can)

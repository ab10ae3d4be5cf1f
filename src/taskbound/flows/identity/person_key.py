"""Taking signatures of people, withdrawing what they sign with, and namespaces that are for trying out.

1. A signature counts when it is used: the key's standing is read in the transaction that uses it.
2. A device that counts its signatures counts on: one that counts back may be a copy.
3. The person, or the account that owns the data directory, withdraws a key at once; nobody else does, or
   whoever withdraws all others would have nobody to ask.
4. A namespace says `demo` only while it never had a key, by the word of the account that owns the data
   directory; when it says so no more, all its keys are withdrawn, and those who watch are told: none was
   enrolled for real.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from taskbound.core.audit import NamespaceChanged, PersonKeyChanged
from taskbound.core.errors import DeniedError
from taskbound.core.identity.person_key import (
    PersonKeyEvent,
    PersonKeyState,
    move_person_key,
    require_standing,
)
from taskbound.flows.approval.proof.counting import count_on
from taskbound.flows.identity.telling import tell_key

if TYPE_CHECKING:
    from taskbound.core.audit import Event
    from taskbound.core.clock import Instant
    from taskbound.core.identity.person_key import Namespace, PersonKey
    from taskbound.flows.means import Actor, Means
    from taskbound.ports.identity import Signatures
    from taskbound.ports.store import Snapshot, Transaction


class UnknownKeyError(DeniedError):
    """No key of this id is known in the namespace."""

    code = "unknown-key"
    remedy = "list them with `taskbound person key list`"


class NotKeyHolderError(DeniedError):
    """Somebody works on a key that is another person's."""

    code = "not-key-holder"
    remedy = "ask the person whose key it is, or the account that owns the data directory"


class NotDemoError(DeniedError):
    """A namespace that has had keys can't be for trying out."""

    code = "not-demo"
    remedy = "try things out in a namespace of their own: `--namespace`"


def require_signed(
    tx: Transaction,
    signatures: Signatures,
    key: PersonKey,
    statement: bytes,
    signature: bytes,
    *,
    now: Instant,
) -> PersonKey:
    """The key, whose word counts now and which has signed this; asked in the transaction that uses it.

    Raises:
        NotStandingError: Its word doesn't count now.
        BadSignatureError: It has not signed this, or its device counts back (rule 2).
    """
    require_standing(key, tx.identities.persons(key.namespace), now)
    signatures.verify(key, statement, signature)
    return count_on(tx, signatures, key, signature)


def withdraw(means: Means, namespace: str, key: str, actor: Actor, *, owns: bool, reason: str) -> PersonKey:
    """Take a key's word away, for good (rule 3).

    Raises:
        UnknownKeyError: There is no such key.
        NotKeyHolderError: It is another person's.
        WrongStateError: It is withdrawn.
    """

    def work(tx: Transaction) -> PersonKey:
        tx.identities.lock_person_keys(namespace)
        before = require_key(tx, namespace, key)
        require_holder(before, actor, owns=owns)
        after, event = withdrawn(tx, before, actor, reason)
        tx.audit.append(namespace, means.writer, [event], means.clock.now())
        return after

    after = means.store.write(work, reserve=True)
    tell_key(means, after)
    return after


def set_demo(means: Means, namespace: str, *, demo: bool, actor: Actor, owns: bool) -> Namespace:
    """Say that a namespace is for trying out, or no more (rule 4).

    Raises:
        NotKeyHolderError: Somebody else than the account that owns the data directory says so.
        NotDemoError: It has had keys.
    """
    if not owns:
        raise NotKeyHolderError("only the account that owns the data directory says what is a demo")

    def work(tx: Transaction) -> tuple[Namespace, list[PersonKey]]:
        before = tx.identities.namespace(namespace)
        if before.demo is demo:
            return before, []
        if demo and before.keys:
            raise NotDemoError(f"namespace `{namespace}` has had keys that people sign with")
        keys = tx.identities.lock_person_keys(namespace)
        ended = [
            withdrawn(tx, one, actor, "the namespace is, or was, for trying out")
            for one in keys
            if one.state is not PersonKeyState.WITHDRAWN
        ]
        after = replace(before, demo=demo, version=before.version + 1)
        tx.identities.put_namespace(after, expect=before.version)
        said = NamespaceChanged(demo=demo, by=actor.name, proof=actor.proof)
        events = [*(event for _, event in ended), said]
        tx.audit.append(namespace, means.writer, events, means.clock.now())
        return after, [key for key, _ in ended]

    after, ended = means.store.write(work)
    for key in ended:
        tell_key(means, key)
    return after


def withdrawn(tx: Transaction, key: PersonKey, actor: Actor, reason: str) -> tuple[PersonKey, Event]:
    """The key, withdrawn, and what is to be recorded of it.

    Raises:
        WrongStateError: It is withdrawn.
    """
    after = move_person_key(key, PersonKeyEvent.WITHDRAW)
    tx.identities.put_person_key(after, expect=key.version)
    return after, key_changed(key.state.value, after, actor, reason=reason)


def require_key(seen: Snapshot | Transaction, namespace: str, key: str) -> PersonKey:
    """The key of this id.

    Raises:
        UnknownKeyError: There is none.
    """
    found = seen.identities.person_key(namespace, key)
    if found is None:
        raise UnknownKeyError(f"no key is named `{key}`")
    return found


def require_holder(key: PersonKey, actor: Actor, *, owns: bool) -> None:
    """Go on only with a key of one's own, or as the account that owns the data directory.

    Raises:
        NotKeyHolderError: It is another person's.
    """
    if actor.name != key.person and not owns:
        raise NotKeyHolderError(f"key `{key.id}` is one of `{key.person}`, not of `{actor.name}`")


def key_changed(
    before: str, key: PersonKey, actor: Actor, *, voucher: str = "", reason: str = ""
) -> PersonKeyChanged:
    """What is to be recorded of a key that moved."""
    return PersonKeyChanged(
        key=key.id,
        person=key.person,
        before=before,
        after=key.state.value,
        fingerprint=key.fingerprint,
        form=key.kind.value,
        custody=key.custody.value,
        by=actor.name,
        proof=actor.proof,
        voucher=voucher,
        usable_from=key.usable_from,
        reason=reason,
    )

"""Persons, their enrolled keys, and the tools that they own.

- The account that owns the data directory may register the first person and itself; a present person
  registers others. These first two may grant anything within an agent's ceiling, others nothing until it is
  set.
- A key's state is read in the transaction that uses its signature. A device's signature counter must grow; a
  lower one suggests a copy.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from taskbound.core.audit import GrantableChanged, IdentityRegistered, NamespaceChanged, PersonKeyChanged
from taskbound.core.audit.events import ToolApproversChanged, ToolOwnerChanged
from taskbound.core.errors import DeniedError
from taskbound.core.identity import (
    Breadth,
    Person,
    PersonState,
    UnknownIdentityError,
    UnprovenError,
    parse_name,
)
from taskbound.core.identity.agent import parse_grantable, reach_of, require_giver
from taskbound.core.identity.person_key import (
    PersonKeyEvent,
    PersonKeyState,
    move_person_key,
    require_standing,
)
from taskbound.core.identity.proof import PrincipalKind
from taskbound.core.scope import Scope
from taskbound.core.target import TargetState, parse_target_file
from taskbound.core.tool import credential_kind
from taskbound.flows.approval.proof.kept import count_on
from taskbound.flows.identity.monitors import tell_key
from taskbound.flows.means import Actor

if TYPE_CHECKING:
    from collections.abc import Collection

    from taskbound.core.audit import Event
    from taskbound.core.clock import Instant
    from taskbound.core.identity import Grantable, PeerProof
    from taskbound.core.identity.person_key import Namespace, PersonKey
    from taskbound.core.identity.proof import Principal
    from taskbound.flows.means import Adapters
    from taskbound.ports.identity import Signatures
    from taskbound.ports.store import Snapshot, Transaction


def let_go_of_tools(
    tx: Transaction, namespace: str, name: str, actor: Actor, events: list[Event]
) -> dict[str, list[str]]:
    """Removes the person as owner and returns what lost its owner; the caller has locked persons."""
    for tool, named in tx.tools.approvers(namespace).items():
        if name in named:
            others = tuple(one for one in named if one != name)
            tx.tools.put_approvers(namespace, tool, others)
            events.append(ToolApproversChanged(tool=tool, approvers=others, by=actor.name, proof=actor.proof))
    owned = [tool for tool in tx.tools.tools(namespace) if tool.owner == name]
    for pin in owned:
        tx.tools.put_tool(replace(pin, owner="", version=pin.version + 1), expect=pin.version)
        events.append(
            ToolOwnerChanged(tool=pin.name, before=name, owner="", by=actor.name, proof=actor.proof)
        )
    tools = [pin.name for pin in owned]
    targets = _targets_left(tx, namespace, name, tools)
    return {"tools_without_owner": tools} | ({"targets_without_owner": targets} if targets else {})


def _targets_left(tx: Transaction, namespace: str, name: str, tools: Collection[str]) -> list[str]:
    found = {asked[0] for asked in map(credential_kind, tools) if asked is not None}
    declared = {
        one.name
        for one in tx.targets.targets(namespace)
        if one.state is not TargetState.READY and parse_target_file(one.file).owner == name
    }
    return sorted(found | declared)


def own_what_was_pinned(tx: Transaction, person: Person, actor: Actor) -> list[Event]:
    """Makes a new person owner of tools that their account pinned; returns the events."""
    before = f"uid:{person.uid}"
    events: list[Event] = []
    for pin in tx.tools.tools(person.namespace):
        if pin.owner == before:
            tx.tools.put_tool(replace(pin, owner=person.name, version=pin.version + 1), expect=pin.version)
            events.append(
                ToolOwnerChanged(
                    tool=pin.name, before=before, owner=person.name, by=actor.name, proof=actor.proof
                )
            )
    return events


class IdentityExistsError(DeniedError):
    """The name or account is registered already."""

    code = "identity-exists"


def require_person(adapters: Adapters, namespace: str, proof: PeerProof, *, owner_uid: int) -> Actor:
    """Returns the peer as a person; `owner_uid` speaks for a namespace without persons."""
    with adapters.store.read() as snapshot:
        persons = snapshot.identities.persons(namespace)
    for person in persons.values():
        if person.uid == proof.uid and person.state is PersonState.PRESENT:
            return Actor(name=person.name, proof=proof.words)
    if not persons and proof.uid == owner_uid:
        return Actor(name=f"uid:{proof.uid}", proof=proof.words)
    raise UnprovenError(
        f"the account with uid {proof.uid} belongs to no person of namespace `{namespace}`",
        remedy="have a person register it with `taskbound person add`",
    )


def require_personal(principal: Principal) -> Actor:
    """Returns the principal as a person; raises UnprovenError for an agent or a service."""
    if principal.kind is not PrincipalKind.PERSON:
        raise UnprovenError("only a person may do this, and the caller is not one")
    return Actor(name=principal.name, proof=principal.proof.words)


def register_person(
    adapters: Adapters, namespace: str, name: str, *, uid: int, actor: Actor, owner_uid: int = -1
) -> Person:
    person = Person(namespace=namespace, name=parse_name(name, what="a person"), uid=uid)

    def work(tx: Transaction) -> Person:
        persons = tx.identities.persons(namespace)
        for known in persons.values():
            if known.name == name or known.uid == uid:
                raise IdentityExistsError(f"person `{known.name}` has this name or account already")
        breadth = Breadth.NOTHING if persons and uid != owner_uid else Breadth.CEILING
        made = replace(person, grantable=breadth)
        tx.identities.put_person(made, expect=0)
        event = IdentityRegistered(
            identity=name,
            form="person",
            by=actor.name,
            proof=actor.proof,
            account=f"peer-uid:{uid}",
            grantable="" if breadth is Breadth.NOTHING else breadth.value,
        )
        owned = own_what_was_pinned(tx, made, actor)
        tx.audit.append(namespace, adapters.writer, [event, *owned], adapters.clock.now())
        return made

    return adapters.store.write(work)


def set_person_grantable(
    adapters: Adapters, namespace: str, name: str, grantable: Grantable, *, actor: Actor, owns: bool
) -> Person:
    """Sets what a person may grant besides their groups; running tasks go on."""
    parse_grantable(grantable)

    def work(tx: Transaction) -> Person:
        persons, groups = tx.identities.lock_grantors(namespace)
        before = persons.get(name)
        if before is None:
            raise UnknownIdentityError(f"no person is named `{name}`")
        if not owns:
            require_giver(reach_of(actor.name, persons, groups), before.grantable, grantable)
        after = replace(before, grantable=grantable, version=before.version + 1)
        tx.identities.put_person(after, expect=before.version)
        event = GrantableChanged(
            identity=name,
            form="person",
            before=grantable_word(before.grantable),
            after=grantable_word(grantable),
            by=actor.name,
            proof=actor.proof,
        )
        tx.audit.append(namespace, adapters.writer, [event], adapters.clock.now())
        return after

    return adapters.store.write(work)


def grantable_word(grantable: Grantable) -> str:
    """Returns a grant as records name it: a scope's digest, `nothing` or `ceiling`."""
    return grantable.digest if isinstance(grantable, Scope) else grantable.value


class UnknownKeyError(DeniedError):
    """The namespace has no key of this id."""

    code = "unknown-key"
    remedy = "list them with `taskbound person key list`"


class NotKeyHolderError(DeniedError):
    """The key belongs to another person."""

    code = "not-key-holder"
    remedy = "ask the person whose key it is, or the account that owns the data directory"


class NotDemoError(DeniedError):
    """A namespace that has had keys cannot become a demo."""

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
    """Returns the key after verifying, in the using transaction; refuses a device that counts back."""
    require_standing(key, tx.identities.persons(key.namespace), now)
    signatures.verify(key, statement, signature)
    return count_on(tx, signatures, key, signature)


def withdraw(
    adapters: Adapters, namespace: str, key: str, actor: Actor, *, owns: bool, reason: str
) -> PersonKey:
    def work(tx: Transaction) -> PersonKey:
        tx.identities.lock_person_keys(namespace)
        before = require_key(tx, namespace, key)
        require_holder(before, actor, owns=owns)
        after, event = withdrawn(tx, before, actor, reason)
        tx.audit.append(namespace, adapters.writer, [event], adapters.clock.now())
        return after

    after = adapters.store.write(work, reserve=True)
    tell_key(adapters, after)
    return after


def set_demo(adapters: Adapters, namespace: str, *, demo: bool, actor: Actor, owns: bool) -> Namespace:
    """Sets or unsets a namespace as demo; raises NotKeyHolderError or NotDemoError."""
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
        tx.audit.append(namespace, adapters.writer, events, adapters.clock.now())
        return after, [key for key, _ in ended]

    after, ended = adapters.store.write(work)
    for key in ended:
        tell_key(adapters, key)
    return after


def withdrawn(tx: Transaction, key: PersonKey, actor: Actor, reason: str) -> tuple[PersonKey, Event]:
    after = move_person_key(key, PersonKeyEvent.WITHDRAW)
    tx.identities.put_person_key(after, expect=key.version)
    return after, key_changed(key.state.value, after, actor, reason=reason)


def require_key(seen: Snapshot | Transaction, namespace: str, key: str) -> PersonKey:
    found = seen.identities.person_key(namespace, key)
    if found is None:
        raise UnknownKeyError(f"no key is named `{key}`")
    return found


def require_holder(key: PersonKey, actor: Actor, *, owns: bool) -> None:
    """Raises NotKeyHolderError unless the key is the actor's or `owns` is set."""
    if actor.name != key.person and not owns:
        raise NotKeyHolderError(f"key `{key.id}` is one of `{key.person}`, not of `{actor.name}`")


def key_changed(
    before: str, key: PersonKey, actor: Actor, *, voucher: str = "", reason: str = ""
) -> PersonKeyChanged:
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

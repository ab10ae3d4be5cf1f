"""Persons, what they sign with once it is enrolled, and the tools that they answer for.

Of `person`:

1. The first person of a namespace may be registered by the account that owns the
   data directory, and so may this account itself at any time; every later one by a
   person who is present.
2. One account is one person.
3. The first person of a namespace, and the account that owns the data directory, may grant
   anything within an agent's ceiling; every other person nothing until somebody says what.
4. Who says what a person may grant may grant it themselves, or owns the data directory.

Of `person_key`:

1. A signature counts when it is used: the key's standing is read in the transaction that uses it.
2. A device that counts its signatures counts on: one that counts back may be a copy.
3. The person, or the account that owns the data directory, withdraws a key at once; nobody else does, or
   whoever withdraws all others would have nobody to ask.
4. A namespace says `demo` only while it never had a key, by the word of the account that owns the data
   directory; when it says so no more, all its keys are withdrawn, and those who watch are told: none was
   enrolled for real.

Of `tools`:

1. An owner is taken away under the tool's version: what was evaluated before is evaluated again, in whatever
   daemon. Nobody gets a tool by that.
2. A target is left without an owner with its tools; before it has any, with the owner that its file names.
   That file stays as it was declared: the tools that come of it then have no owner (`flows.target.testing`).
3. What an account pinned while the namespace had no persons is the person's whose account that is.
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
    from taskbound.flows.means import Means
    from taskbound.ports.identity import Signatures
    from taskbound.ports.store import Snapshot, Transaction


def let_go_of_tools(
    tx: Transaction, namespace: str, name: str, actor: Actor, events: list[Event]
) -> dict[str, list[str]]:
    """Take every tool from a person; in order the tools that they owned, and the targets if there are some.

    Both as news call them: `tools_without_owner` and `targets_without_owner` (rule 2).

    Args:
        tx: The transaction in which they leave, which holds the lock on persons.
        namespace: Of the person.
        name: Theirs.
        actor: Who says that they leave.
        events: What is to be recorded goes there.
    """
    for tool, named in tx.tools.approvers(namespace).items():
        if name in named:
            others = tuple(one for one in named if one != name)
            tx.tools.put_approvers(namespace, tool, others)
            events.append(ToolApproversChanged(tool=tool, approvers=others, by=actor.name, proof=actor.proof))
    owned = [tool for tool in tx.tools.tools(namespace) if tool.owner == name]
    for pin in owned:
        tx.tools.put_tool(replace(pin, owner="", version=pin.version + 1), expect=pin.version)  # 1
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
    """Give a new person the tools that their account pinned before (rule 3); the records of it."""
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
    """Somebody of this name or account is known already."""

    code = "identity-exists"


def require_person(means: Means, namespace: str, proof: PeerProof, *, owner_uid: int) -> Actor:
    """Who the other end of a socket is, as a person.

    Args:
        means: What flows are given.
        namespace: Of the connection.
        proof: What the kernel says of the peer.
        owner_uid: The account that owns the data directory; it speaks for a namespace without persons.

    Raises:
        UnprovenError: The account belongs to no person of the namespace.
    """
    with means.store.read() as snapshot:
        persons = snapshot.identities.persons(namespace)
    for person in persons.values():
        if person.uid == proof.uid and person.state is PersonState.PRESENT:
            return Actor(name=person.name, proof=proof.words)
    if not persons and proof.uid == owner_uid:
        return Actor(name=f"uid:{proof.uid}", proof=proof.words)  # 1
    raise UnprovenError(
        f"the account with uid {proof.uid} belongs to no person of namespace `{namespace}`",
        remedy="have a person register it with `taskbound person add`",
    )


def require_personal(principal: Principal) -> Actor:
    """Who has shown a proof of their own, as a person.

    Raises:
        UnprovenError: It is an agent or a service.
    """
    if principal.kind is not PrincipalKind.PERSON:
        raise UnprovenError("this is a person's act, and who asks is none")
    return Actor(name=principal.name, proof=principal.proof.words)


def register_person(
    means: Means, namespace: str, name: str, *, uid: int, actor: Actor, owner_uid: int = -1
) -> Person:
    """Write a person down.

    Args:
        means: What flows are given.
        namespace: Of the person.
        name: What they are called.
        uid: Their account.
        actor: Who asks.
        owner_uid: The account that owns the data directory.

    Raises:
        BadNameError: The name can't be.
        IdentityExistsError: The name or the account is taken (rule 2).
    """
    person = Person(namespace=namespace, name=parse_name(name, what="a person"), uid=uid)

    def work(tx: Transaction) -> Person:
        persons = tx.identities.persons(namespace)
        for known in persons.values():
            if known.name == name or known.uid == uid:
                raise IdentityExistsError(f"person `{known.name}` has this name or account already")
        breadth = Breadth.NOTHING if persons and uid != owner_uid else Breadth.CEILING  # 3
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
        tx.audit.append(namespace, means.writer, [event, *owned], means.clock.now())
        return made

    return means.store.write(work)


def set_person_grantable(
    means: Means, namespace: str, name: str, grantable: Grantable, *, actor: Actor, owns: bool
) -> Person:
    """Say what a person may grant from now on; tasks that run go on.

    Args:
        means: What flows are given.
        namespace: Of the person.
        name: The person.
        grantable: What they may grant, their groups apart.
        actor: Who says so.
        owns: Whether that is the account that owns the data directory.

    Raises:
        BadGrantableError: It can't be said of anybody.
        UnknownIdentityError: There is no such person.
        NotGiverError: Who says so may not (rule 4).
    """
    parse_grantable(grantable)

    def work(tx: Transaction) -> Person:
        persons, groups = tx.identities.lock_grantors(namespace)
        before = persons.get(name)
        if before is None:
            raise UnknownIdentityError(f"no person is named `{name}`")
        if not owns:
            require_giver(reach_of(actor.name, persons, groups), before.grantable, grantable)  # 4
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
        tx.audit.append(namespace, means.writer, [event], means.clock.now())
        return after

    return means.store.write(work)


def grantable_word(grantable: Grantable) -> str:
    """What somebody may grant, as records name it: a scope's digest, `nothing` or `ceiling`."""
    return grantable.digest if isinstance(grantable, Scope) else grantable.value


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

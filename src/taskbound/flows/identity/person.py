"""Making persons known, and knowing them again by their local account.

1. The first person of a namespace may be registered by the account that owns the
   data directory, and so may this account itself at any time; every later one by a
   person who is present.
2. One account is one person.
3. The first person of a namespace, and the account that owns the data directory, may grant
   anything within an agent's ceiling; every other person nothing until somebody says what.
4. Who says what a person may grant may grant it themselves, or owns the data directory.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from taskbound.core.audit import GrantableChanged, IdentityRegistered
from taskbound.core.errors import DeniedError
from taskbound.core.identity import (
    Breadth,
    Person,
    PersonState,
    UnknownIdentityError,
    UnprovenError,
    parse_name,
)
from taskbound.core.identity.grantable import parse_grantable, reach_of, require_giver
from taskbound.core.identity.proof import PrincipalKind
from taskbound.core.scope import Scope
from taskbound.flows.identity.tools import own_what_was_pinned
from taskbound.flows.means import Actor

if TYPE_CHECKING:
    from taskbound.core.identity import Grantable, PeerProof
    from taskbound.core.identity.proof import Principal
    from taskbound.flows.means import Means
    from taskbound.ports.store import Transaction


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

"""Making persons known, and knowing them again by their local account.

1. The first person of a namespace may be registered by the account that owns the
   data directory; every later one by a person who is present.
2. One account is one person.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.audit import IdentityRegistered
from taskbound.core.errors import DeniedError
from taskbound.core.identity import Person, PersonState, UnprovenError, parse_name
from taskbound.flows.means import Actor

if TYPE_CHECKING:
    from taskbound.core.identity import PeerProof
    from taskbound.flows.means import Means
    from taskbound.ports.store import Transaction

__all__ = ["IdentityExistsError", "register_person", "require_person"]


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


def register_person(means: Means, namespace: str, name: str, *, uid: int, actor: Actor) -> Person:
    """Write a person down.

    Raises:
        BadNameError: The name can't be.
        IdentityExistsError: The name or the account is taken (rule 2).
    """
    person = Person(namespace=namespace, name=parse_name(name, what="a person"), uid=uid)

    def work(tx: Transaction) -> Person:
        for known in tx.identities.persons(namespace).values():
            if known.name == name or known.uid == uid:
                raise IdentityExistsError(f"person `{known.name}` has this name or account already")
        tx.identities.put_person(person, expect=0)
        event = IdentityRegistered(
            identity=name, form="person", by=actor.name, proof=actor.proof, account=f"peer-uid:{uid}"
        )
        tx.audit.append(namespace, means.writer, [event], means.clock.now())
        return person

    return means.store.write(work)

"""Services, their keys, and requests that are answered once.

Of `services`:

1. The account that owns the data directory says that there is a service: it hears which tasks and agents
   there are, and is told of tokens. It names the owner, a person who is there.
2. What a service enforces, and which keys prove it, its owner says, and that account. Who owns it the owner
   hands on, and once they have left that account says it.
3. With a service all that proves it ends: what was removed proves nothing from the commit on, and so does
   nothing that was issued by it.
4. Whoever relies on a service looks at all that it rests on each time, in one state of the store: it is
   there, its owner is, and the key counts and is its own. Who acts on its word locks all that before anything
   else, the key first and the owner last: whoever removes a service locks it in this order, and who leaves is
   locked before their tasks are.

Of `service_key`:

1. The service's owner says which keys prove it, and the account that owns the data directory.
2. A key proves one service, and is no agent's key and no other service's, now or ever. What was removed
   proves nothing from the commit on, and so does nothing that was issued by it.

Of `answered`:

1. Its key is durable before it is done, its answer before it is told (law 5).
2. What was refused took no effect, and its key is free again: another try is a new decision (law 7).
3. What failed as nobody foresaw keeps its key without an answer.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from taskbound.core.action import canonical, parse_object
from taskbound.core.audit.events.people import ServiceAdded, ServiceChanged, ServiceKeyChanged, ServiceRemoved
from taskbound.core.clock import Instant, minutes
from taskbound.core.identity import NotOwnerError
from taskbound.core.identity.proof import answer_to
from taskbound.core.identity.service import (
    MOST_KEYS,
    MOST_SERVICES,
    ServiceExistsError,
    ServiceKey,
    UnknownServiceError,
    UnknownServiceKeyError,
    parse_audience,
    parse_enforced,
    require_answered_for,
    require_standing_key,
)
from taskbound.flows.identity.leaving import require_present
from taskbound.wire.jose import Algorithm, JwkMembersError, es256_jwk, parse_foreign_jwks

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from taskbound.core.identity.agent import AgentKey
    from taskbound.core.identity.proof import Answered
    from taskbound.core.identity.service import Service
    from taskbound.flows.means import Actor, Means
    from taskbound.ports.store import Snapshot, Transaction


def require_service(snapshot: Snapshot, namespace: str, name: str, key: str) -> Service:
    """The service of this name, which stands, and which this key proves (rule 4).

    Args:
        snapshot: One state of the store.
        namespace: Where.
        name: Its name.
        key: The `kid` of the key that it proved itself with.

    Raises:
        UnknownServiceError: It is not there.
        UnansweredServiceError: Its owner is not there.
        UnknownServiceKeyError: The key was removed, or is none of its own.
    """
    found = snapshot.services.service(namespace, name)
    if found is None:
        raise UnknownServiceError(f"no service is named `{name}`")
    require_answered_for(found, snapshot.identities.person(namespace, found.owner))
    require_standing_key(snapshot.services.service_key(namespace, key), name)
    return found


def lock_service(tx: Transaction, namespace: str, name: str, key: str) -> Service:
    """As `require_service`, in the transaction that acts on its word: it stays so until its end (rule 4).

    Raises:
        DeniedError: As `require_service` says.
    """
    services, keys = tx.services.lock_services(namespace, {name}, {key})
    found = services.get(name)
    if found is None:
        raise UnknownServiceError(f"no service is named `{name}`")
    require_answered_for(found, tx.identities.lock_persons(namespace, {found.owner}).get(found.owner))
    require_standing_key(keys.get(key), name)
    return found


def add_service(
    means: Means, service: Service, *, ours: Collection[str], actor: Actor, owns: bool
) -> Service:
    """Have there be a service (rule 1); nothing proves it yet.

    Args:
        means: The adapters.
        service: As `parse_service` made it.
        ours: Names of our own, which are no service's audience.
        actor: Who says so.
        owns: Whether their account owns the data directory.

    Raises:
        NotOwnerError: Rule 1.
        BadServiceError: Its audience is ours.
        UnknownIdentityError: Its owner is no person who is there.
        ServiceExistsError: Its name or its audience is another's, or there are too many.
    """
    if not owns:
        raise NotOwnerError(
            "only the account that owns the data directory says that there is a service",
            remedy="ask whoever runs the daemon",
        )
    parse_audience(service.audience, ours=ours)

    def work(tx: Transaction) -> None:
        known = tx.services.services(service.namespace)
        persons, _ = tx.identities.lock_grantors(service.namespace)
        require_present(persons.get(service.owner), service.owner)
        for one in known:
            if one.name == service.name:
                raise ServiceExistsError(f"there is a service named `{service.name}`")
            if one.audience == service.audience:
                raise ServiceExistsError(f"service `{one.name}` has this audience")
        if len(known) >= MOST_SERVICES:
            raise ServiceExistsError(f"there are {MOST_SERVICES} services, and there can be no more")
        tx.services.put_service(service, expect=0)
        event = ServiceAdded(
            service=service.name,
            owner=service.owner,
            audience=service.audience,
            tools=service.tools,
            by=actor.name,
            proof=actor.proof,
        )
        tx.audit.append(service.namespace, means.writer, [event], means.clock.now())

    means.store.write(work)
    return service


def change_service(  # noqa: PLR0913 - what can be changed, and who says so
    means: Means,
    namespace: str,
    name: str,
    *,
    owner: str,
    tools: Sequence[str] | None,
    actor: Actor,
    owns: bool,
) -> Service:
    """Have somebody else answer for a service, or have it enforce something else (rule 2).

    Args:
        means: The adapters.
        namespace: Where.
        name: The service.
        owner: Who owns it from now on; empty for who does.
        tools: All that it enforces from now on; None for what it does.
        actor: Who says so.
        owns: Whether their account owns the data directory.

    Raises:
        UnknownServiceError: There is no such service.
        NotOwnerError: Rule 2.
        UnknownIdentityError: The new owner is no person who is there.
        MalformedError: It can't enforce that.
    """
    enforced = None if tools is None else parse_enforced(tools)

    def work(tx: Transaction) -> Service:
        tx.services.services(namespace)  # alone among those who change any, before a row is locked
        persons, _ = tx.identities.lock_grantors(namespace)
        before = require_service_owner(tx, namespace, name, actor, owns=owns)
        if owner:
            require_present(persons.get(owner), owner)
        after = replace(
            before,
            owner=owner or before.owner,
            tools=before.tools if enforced is None else enforced,
            version=before.version + 1,
        )
        tx.services.put_service(after, expect=before.version)
        event = ServiceChanged(
            service=name, owner=after.owner, tools=after.tools, by=actor.name, proof=actor.proof
        )
        tx.audit.append(namespace, means.writer, [event], means.clock.now())
        return after

    return means.store.write(work)


def remove_service(means: Means, namespace: str, name: str, *, actor: Actor, owns: bool) -> tuple[str, ...]:
    """Have there be no such service, with none of its keys; those that counted until now (rule 3).

    Raises:
        UnknownServiceError: There is none.
        NotOwnerError: Rule 2.
    """

    def work(tx: Transaction) -> tuple[str, ...]:
        keys = tx.services.service_keys(namespace, name)
        require_service_owner(tx, namespace, name, actor, owns=owns)
        now = means.clock.now()
        ended = tuple(one.kid for one in keys if one.removed is None)
        for one in ended:
            tx.services.end_service_key(namespace, one, now)
        tx.services.drop_service(namespace, name)
        event = ServiceRemoved(service=name, keys=ended, by=actor.name, proof=actor.proof)
        tx.audit.append(namespace, means.writer, [event], now)
        return ended

    return means.store.write(work)


def require_service_owner(tx: Transaction, namespace: str, name: str, actor: Actor, *, owns: bool) -> Service:
    """The service, whose owner says this, or the account that owns the data directory (rule 2).

    Raises:
        UnknownServiceError: There is none.
        NotOwnerError: It is somebody else's word.
    """
    found = tx.services.service(namespace, name)
    if found is None:
        raise UnknownServiceError(f"no service is named `{name}`")
    if found.owner != actor.name and not owns:
        raise NotOwnerError(
            f"only the owner of service `{name}` says that, and the account that owns the data directory"
        )
    return found


def holder_of_key(snapshot: Snapshot, namespace: str, kid: str) -> AgentKey | ServiceKey | None:
    """Whom the key of this id proves now, an agent or a service (rule 2); None for nobody."""
    agent = snapshot.workloads.agent_key(namespace, kid)
    if agent is not None:
        return agent if agent.ended is None else None
    found = snapshot.services.service_key(namespace, kid)
    return found if found is not None and found.removed is None else None


def add_service_key(
    means: Means, namespace: str, name: str, jwk: bytes, *, actor: Actor, owns: bool
) -> ServiceKey:
    """Have a key prove the service from now on (rules 1 and 2).

    Args:
        means: The adapters.
        namespace: Where.
        name: The service.
        jwk: Its public half, one JSON Web Key for ES256.
        actor: Who says so.
        owns: Whether their account owns the data directory.

    Raises:
        UnknownServiceError: There is no such service.
        NotOwnerError: Rule 1.
        MalformedError: It is no such key (`wire/jose`), or has something private.
        ServiceExistsError: It is an agent's or a service's key already, or was; or there are too many.
    """
    kid, public = _read(jwk)

    def work(tx: Transaction) -> ServiceKey:
        keys = tx.services.service_keys(namespace)
        agent = tx.workloads.agent_key(namespace, kid)
        require_service_owner(tx, namespace, name, actor, owns=owns)
        if agent is not None or any(one.kid == kid for one in keys):
            raise ServiceExistsError(
                "that key is somebody's already, or was", remedy="make another key: a key proves one alone"
            )  # 2
        if sum(one.service == name and one.removed is None for one in keys) >= MOST_KEYS:
            raise ServiceExistsError(
                f"service `{name}` has {MOST_KEYS} keys", remedy="remove one of its keys first"
            )
        now = means.clock.now()
        key = ServiceKey(namespace=namespace, kid=kid, service=name, public=public, added=now)
        tx.services.put_service_key(key)
        _record_key(tx, means, key, removed=False, actor=actor)
        return key

    return means.store.write(work)


def remove_service_key(
    means: Means, namespace: str, name: str, kid: str, *, actor: Actor, owns: bool
) -> None:
    """Have a key prove the service no more, nor anything that was issued by it (rules 1 and 2).

    Raises:
        UnknownServiceError: There is no such service.
        NotOwnerError: Rule 1.
        UnknownServiceKeyError: It has no such key, or not any more.
    """

    def work(tx: Transaction) -> None:
        keys = tx.services.service_keys(namespace, name)
        require_service_owner(tx, namespace, name, actor, owns=owns)
        found = next((one for one in keys if one.kid == kid and one.removed is None), None)
        if found is None:
            raise UnknownServiceKeyError(f"service `{name}` has no such key")
        tx.services.end_service_key(namespace, kid, means.clock.now())
        _record_key(tx, means, found, removed=True, actor=actor)

    means.store.write(work)


def _record_key(tx: Transaction, means: Means, key: ServiceKey, *, removed: bool, actor: Actor) -> None:
    event = ServiceKeyChanged(
        service=key.service, key=key.kid, removed=removed, by=actor.name, proof=actor.proof
    )
    tx.audit.append(key.namespace, means.writer, [event], means.clock.now())


def _read(jwk: bytes) -> tuple[str, bytes]:
    """The thumbprint of a key, and the key under that name, in canonical form."""
    document = parse_object(jwk)
    keys = parse_foreign_jwks(canonical(document if "keys" in document else {"keys": [document]}))
    if len(keys) != 1 or keys[0].algorithm is not Algorithm.ES256:
        raise JwkMembersError("a service's key is one key for ES256, of the curve P-256", where="key")
    key = es256_jwk(keys[0].x, keys[0].y)
    return key.kid, canonical({**key.members})


_APART: Final = minutes(2)
_TURN: Final = 1000


def begin_answer(means: Means, asked: Answered) -> str:
    """Keep the key of a request that is about to be done; or the answer that it had before.

    Returns:
        The answer's text; empty when the request is to be done now.

    Raises:
        KeyReusedError: The key is another request's.
        AnswerUnknownError: It came before, and nobody knows what became of it.
    """
    known = means.store.write(lambda tx: tx.answered.begin(asked, now=means.clock.now()))
    return "" if known is None else answer_to(asked, known)


def finish_answer(means: Means, asked: Answered, answer: str) -> None:
    """Keep what it was answered (rule 1)."""
    means.store.write(lambda tx: tx.answered.finish(replace(asked, answer=answer)))


def forget_answer(means: Means, asked: Answered) -> None:
    """Free the key of a request that was refused (rule 2)."""
    means.store.write(lambda tx: tx.answered.forget(asked))


def sweep_answers(means: Means) -> int:
    """Forget those whose time is over, a thousand at most; how many were."""
    before = Instant(means.clock.now() - _APART)
    return means.store.write(lambda tx: tx.answered.sweep(before, limit=_TURN))

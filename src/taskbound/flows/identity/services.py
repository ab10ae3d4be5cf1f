"""Services, their keys, and idempotent requests.

- Only the account that owns the data directory adds a service, as it learns of tasks, agents and tokens. The
  present owner, or that account, sets enforced tools, keys and the next owner.
- A use checks service, owner and key in one snapshot each time. A use that acts locks them first, the key
  first and the owner last; a removal locks in the same order and counts from its commit on.
- A key belongs to one service and to no agent, for all time.
- A refused request releases its idempotency key (law 7). An unexpected exception keeps it without an answer,
  because the effect is unknown.
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
    from taskbound.flows.means import Actor, Adapters
    from taskbound.ports.store import Snapshot, Transaction


def require_service(snapshot: Snapshot, namespace: str, name: str, key: str) -> Service:
    """Returns the valid service of this name that the key `kid` proves."""
    found = snapshot.services.service(namespace, name)
    if found is None:
        raise UnknownServiceError(f"no service is named `{name}`")
    require_answered_for(found, snapshot.identities.person(namespace, found.owner))
    require_standing_key(snapshot.services.service_key(namespace, key), name)
    return found


def lock_service(tx: Transaction, namespace: str, name: str, key: str) -> Service:
    """As `require_service`, with the rows locked until the transaction ends."""
    services, keys = tx.services.lock_services(namespace, {name}, {key})
    found = services.get(name)
    if found is None:
        raise UnknownServiceError(f"no service is named `{name}`")
    require_answered_for(found, tx.identities.lock_persons(namespace, {found.owner}).get(found.owner))
    require_standing_key(keys.get(key), name)
    return found


def add_service(
    adapters: Adapters, service: Service, *, ours: Collection[str], actor: Actor, owns: bool
) -> Service:
    """Adds a service without keys; `ours` are our own names, which it may not use as audience."""
    if not owns:
        raise NotOwnerError(
            "only the account that owns the data directory says that there is a service",
            remedy="ask the operator of the daemon",
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
        tx.audit.append(service.namespace, adapters.writer, [event], adapters.clock.now())

    adapters.store.write(work)
    return service


def change_service(  # noqa: PLR0913 - what can be changed, and who says so
    adapters: Adapters,
    namespace: str,
    name: str,
    *,
    owner: str,
    tools: Sequence[str] | None,
    actor: Actor,
    owns: bool,
) -> Service:
    """Changes a service's owner, unless empty, and its tools, unless None."""
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
        tx.audit.append(namespace, adapters.writer, [event], adapters.clock.now())
        return after

    return adapters.store.write(work)


def remove_service(
    adapters: Adapters, namespace: str, name: str, *, actor: Actor, owns: bool
) -> tuple[str, ...]:
    def work(tx: Transaction) -> tuple[str, ...]:
        keys = tx.services.service_keys(namespace, name)
        require_service_owner(tx, namespace, name, actor, owns=owns)
        now = adapters.clock.now()
        ended = tuple(one.kid for one in keys if one.removed is None)
        for one in ended:
            tx.services.end_service_key(namespace, one, now)
        tx.services.drop_service(namespace, name)
        event = ServiceRemoved(service=name, keys=ended, by=actor.name, proof=actor.proof)
        tx.audit.append(namespace, adapters.writer, [event], now)
        return ended

    return adapters.store.write(work)


def require_service_owner(tx: Transaction, namespace: str, name: str, actor: Actor, *, owns: bool) -> Service:
    found = tx.services.service(namespace, name)
    if found is None:
        raise UnknownServiceError(f"no service is named `{name}`")
    if found.owner != actor.name and not owns:
        raise NotOwnerError(
            f"only the owner of service `{name}` says that, and the account that owns the data directory"
        )
    return found


def holder_of_key(snapshot: Snapshot, namespace: str, kid: str) -> AgentKey | ServiceKey | None:
    agent = snapshot.workloads.agent_key(namespace, kid)
    if agent is not None:
        return agent if agent.ended is None else None
    found = snapshot.services.service_key(namespace, kid)
    return found if found is not None and found.removed is None else None


def add_service_key(
    adapters: Adapters, namespace: str, name: str, jwk: bytes, *, actor: Actor, owns: bool
) -> ServiceKey:
    """Adds a key to the service; `jwk` is one public JSON Web Key for ES256."""
    kid, public = _read(jwk)

    def work(tx: Transaction) -> ServiceKey:
        keys = tx.services.service_keys(namespace)
        agent = tx.workloads.agent_key(namespace, kid)
        require_service_owner(tx, namespace, name, actor, owns=owns)
        if agent is not None or any(one.kid == kid for one in keys):
            raise ServiceExistsError(
                "that key is registered already, or was", remedy="make another key: a key proves one alone"
            )
        if sum(one.service == name and one.removed is None for one in keys) >= MOST_KEYS:
            raise ServiceExistsError(
                f"service `{name}` has {MOST_KEYS} keys", remedy="remove one of its keys first"
            )
        now = adapters.clock.now()
        key = ServiceKey(namespace=namespace, kid=kid, service=name, public=public, added=now)
        tx.services.put_service_key(key)
        _record_key(tx, adapters, key, removed=False, actor=actor)
        return key

    return adapters.store.write(work)


def remove_service_key(
    adapters: Adapters, namespace: str, name: str, kid: str, *, actor: Actor, owns: bool
) -> None:
    def work(tx: Transaction) -> None:
        keys = tx.services.service_keys(namespace, name)
        require_service_owner(tx, namespace, name, actor, owns=owns)
        found = next((one for one in keys if one.kid == kid and one.removed is None), None)
        if found is None:
            raise UnknownServiceKeyError(f"service `{name}` has no such key")
        tx.services.end_service_key(namespace, kid, adapters.clock.now())
        _record_key(tx, adapters, found, removed=True, actor=actor)

    adapters.store.write(work)


def _record_key(tx: Transaction, adapters: Adapters, key: ServiceKey, *, removed: bool, actor: Actor) -> None:
    event = ServiceKeyChanged(
        service=key.service, key=key.kid, removed=removed, by=actor.name, proof=actor.proof
    )
    tx.audit.append(key.namespace, adapters.writer, [event], adapters.clock.now())


def _read(jwk: bytes) -> tuple[str, bytes]:
    document = parse_object(jwk)
    keys = parse_foreign_jwks(canonical(document if "keys" in document else {"keys": [document]}))
    if len(keys) != 1 or keys[0].algorithm is not Algorithm.ES256:
        raise JwkMembersError("a service's key is one key for ES256, of the curve P-256", where="key")
    key = es256_jwk(keys[0].x, keys[0].y)
    return key.kid, canonical({**key.members})


_APART: Final = minutes(2)
_TURN: Final = 1000


def begin_answer(adapters: Adapters, asked: Answered) -> str:
    """Stores the idempotency key of a new request and returns ''; or returns the stored answer."""
    known = adapters.store.write(lambda tx: tx.answered.begin(asked, now=adapters.clock.now()))
    return "" if known is None else answer_to(asked, known)


def finish_answer(adapters: Adapters, asked: Answered, answer: str) -> None:
    """Stores the answer."""
    adapters.store.write(lambda tx: tx.answered.finish(replace(asked, answer=answer)))


def forget_answer(adapters: Adapters, asked: Answered) -> None:
    adapters.store.write(lambda tx: tx.answered.forget(asked))


def sweep_answers(adapters: Adapters) -> int:
    """Deletes up to a thousand expired keys and returns their number."""
    before = Instant(adapters.clock.now() - _APART)
    return adapters.store.write(lambda tx: tx.answered.sweep(before, limit=_TURN))

"""Keys of services: added, removed, and whose a key is.

1. The service's owner says which keys prove it, and the account that owns the data directory.
2. A key proves one service, and is no agent's key and no other service's, now or ever. What was removed
   proves nothing from the commit on, and so does nothing that was issued by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.action import canonical, parse_object
from taskbound.core.audit.events.service import ServiceKeyChanged
from taskbound.core.identity.service import (
    MOST_KEYS,
    ServiceExistsError,
    ServiceKey,
    UnknownServiceKeyError,
)
from taskbound.flows.identity.services import require_service_owner
from taskbound.wire.jose import Algorithm, JwkMembersError, es256_jwk, parse_foreign_jwks

if TYPE_CHECKING:
    from taskbound.core.identity.agent_key import AgentKey
    from taskbound.flows.means import Actor, Means
    from taskbound.ports.store import Snapshot, Transaction


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

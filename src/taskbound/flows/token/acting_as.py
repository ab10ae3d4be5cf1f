"""A client that acts as a person: what it asks for, and what its code brings.

1. It is registered here, asks at our own issuer, and for the scope `operations` alone.
2. It is let in for one token's time, while the person is there and the sign-in lasts by which they said so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Instant, seconds
from taskbound.core.identity import PersonState, UnknownIdentityError
from taskbound.core.token.authorization.admission import Admission
from taskbound.core.token.authorization.request import parse_request
from taskbound.core.token.issuing import LONGEST
from taskbound.flows.token.standing import require_sign_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.identity import Person
    from taskbound.core.token.authorization.asked import Asked
    from taskbound.core.token.authorization.client import Client
    from taskbound.core.token.authorization.code import Exchange
    from taskbound.core.token.authorization.request import AuthorizationRequest
    from taskbound.ports.store import Transaction


_OPERATIONS: Final = "operations"
"""The scope of persons' tokens (rule 1)."""


def person_request(told: Mapping[str, str], client: Client, issuer: str) -> AuthorizationRequest:
    """The request of a client that asks to act as a person (rule 1)."""
    request = parse_request(told, client, resources={issuer}, scopes={_OPERATIONS})
    if client.host:
        raise request.refusal("unauthorized_client", "only a client that is registered here acts as a person")
    if request.scope != (_OPERATIONS,):
        raise request.refusal("invalid_scope", "whoever asks to act as a person says so: scope=operations")
    return request


def as_person(tx: Transaction, asked: Asked, brought: Exchange, name: str, now: Instant) -> Admission:
    """What the code of a client brings that acts as a person (rule 2)."""
    admission = Admission(
        namespace=asked.namespace,
        id=name,
        client=asked.request.client,
        agent="",
        task="",
        person=asked.person,
        resource=asked.request.resource,
        scope=asked.request.scope,
        jkt=brought.jkt,
        begun=now,
        until=Instant(now + seconds(LONGEST)),
        session=asked.signed.session,
    )
    require_consenter(tx.identities.persons(asked.namespace), admission)
    require_sign_in(tx, admission, now)
    return admission


def require_consenter(persons: Mapping[str, Person], admission: Admission) -> None:
    """Go on only while who consented is there.

    Raises:
        UnknownIdentityError: They are not.
    """
    person = persons.get(admission.person)
    if person is None or person.state is not PersonState.PRESENT:
        raise UnknownIdentityError("the person who consented is a person of this namespace no more")

"""The token endpoint's codes and refresh tokens, for clients that people use.

- A code is read under lock and used by its first bearer, at any daemon. A bearer that fails a check still
  uses it up. A reused code ends what it gave (RFC 6749 §4.1.2); a refresh token shown
  by another holder ends its admission.
- A client is admitted while its task gives authority: task, ancestors, switch, agent, and a consenting person
  who is in charge, checked each time. A paused task refuses a refresh token
  without using it up.
- The secret is durable before it is sent and exists only in the answer. The token is bound to the client's
  DPoP key if proven, else a bearer token; it lives five minutes at most.
- A refresh token is used up only after the new token exists, so a missing signer costs no consent; a token
  issued in a lost race ends with the admission. A code is used up first: two tokens of one code would be
  worse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from taskbound.core.audit.events import AdmissionEnded, ClientAdmitted, CodeRefused
from taskbound.core.clock import Instant, days, seconds
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError
from taskbound.core.identity import PersonState, UnknownIdentityError, require_active
from taskbound.core.identity.proof import Binding, BindingKind
from taskbound.core.revocation import require_not_stopped
from taskbound.core.task import NoTaskError, require_in_charge, require_live
from taskbound.core.token.authorization.asked import (
    UNSIGNED,
    ConsentState,
    Signed,
    code_digest,
    code_of,
    require_code,
    used,
)
from taskbound.core.token.authorization.errors import (
    BadCodeError,
    BadRefreshError,
    ReusedCodeError,
    ReusedRefreshError,
)
from taskbound.core.token.authorization.request import (
    PREFIX,
    Admission,
    Refresh,
    admission_ended,
    admission_renewed,
    leak_of,
    parse_request,
    refresh_digest,
    require_renewable,
)
from taskbound.core.token.values import LONGEST
from taskbound.flows.means import Actor
from taskbound.flows.token.issuing import Issued, PersonTokenOrder, TaskTokenOrder
from taskbound.flows.token.standing import require_sign_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.identity import Person
    from taskbound.core.token.authorization.asked import ConsentRequest, Exchange
    from taskbound.core.token.authorization.request import AuthorizationRequest, Client, Renewal
    from taskbound.flows.means import Adapters
    from taskbound.flows.token.issuing import Tokens
    from taskbound.ports.store import Transaction


_OPERATIONS: Final = "operations"
"""The scope of persons' tokens."""


def person_request(told: Mapping[str, str], client: Client, issuer: str) -> AuthorizationRequest:
    request = parse_request(told, client, resources={issuer}, scopes={_OPERATIONS})
    if client.host:
        raise request.refusal("unauthorized_client", "only a client that is registered here acts as a person")
    if request.scope != (_OPERATIONS,):
        raise request.refusal("invalid_scope", "to act as a person, a client must request scope=operations")
    return request


def as_person(
    tx: Transaction, asked: ConsentRequest, brought: Exchange, name: str, now: Instant
) -> Admission:
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
    """Raises UnknownIdentityError unless the consenting person is present."""
    person = persons.get(admission.person)
    if person is None or person.state is not PersonState.PRESENT:
        raise UnknownIdentityError("the person who consented is a person of this namespace no more")


T = TypeVar("T")
_TURN: Final = 1000
_KEPT: Final = days(1)
"""How long a request is kept: a code of it that comes again is known so long."""
_AGAIN: Final = "its code came twice"


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """An admitted client with its refresh token, which is sent once."""

    admission: Admission
    refresh: str
    """Empty for a client that acts as a person."""
    signed: Signed = UNSIGNED
    """How the person had signed in as whom it acts."""

    def __repr__(self) -> str:
        """Hides the secret."""
        return f"Admitted({self.admission.id!r})"


def exchange_code(adapters: Adapters, namespace: str, code: str, brought: Exchange) -> Admitted:
    digest = code_digest(code)
    secret = adapters.chance.secret()
    admission = adapters.chance.name(PREFIX)

    def work(tx: Transaction) -> Admitted | DeniedError:
        now = adapters.clock.now()
        asked = tx.authorizations.asked_by(namespace, code=digest)
        if asked is None:
            raise BadCodeError("the code is unknown")
        if asked.state is ConsentState.USED:
            kept = tx.authorizations.admission(namespace, asked.admission) if asked.admission else None
            if kept is not None:
                end_row(tx, adapters, kept, _AGAIN, client_actor(kept.client, "code"))
            return ReusedCodeError("the code came before, and what it brought has ended")
        try:
            admitted = _admission(tx, asked, brought, admission, now)
        except DeniedError as error:
            tx.authorizations.put_asked(used(asked, ""), expect=asked.version)
            refused = CodeRefused(
                request=asked.id, client=asked.request.client, task=asked.task, code=error.code
            )
            tx.audit.append(namespace, adapters.writer, [refused], now)
            return error
        tx.authorizations.put_asked(used(asked, admission), expect=asked.version)
        tx.authorizations.put_admission(admitted, expect=0)
        if not admitted.is_persons:
            _put_refresh(tx, admitted, secret)
        event = ClientAdmitted(
            admission=admission,
            request=asked.id,
            client=admitted.client,
            agent=admitted.agent,
            task=admitted.task,
            person=admitted.person,
            resource=admitted.resource,
            jkt=admitted.jkt,
            until=admitted.until,
        )
        tx.audit.append(namespace, adapters.writer, [event], now)
        refresh = "" if admitted.is_persons else secret
        return Admitted(admission=admitted, refresh=refresh, signed=asked.signed)

    return _answer(adapters.store.write(work))


def look_at_refresh(adapters: Adapters, namespace: str, refresh: str, brought: Renewal) -> Admission:
    """Returns the admission, unchanged; a reused refresh token ends it here too. Raises as `renew`."""
    digest = refresh_digest(refresh)
    return _answer(adapters.store.write(lambda tx: _shown(tx, adapters, namespace, digest, brought)))


def renew(adapters: Adapters, namespace: str, refresh: str, brought: Renewal) -> Admitted:
    digest = refresh_digest(refresh)
    secret = adapters.chance.secret()

    def work(tx: Transaction) -> Admitted | DeniedError:
        admission = _shown(tx, adapters, namespace, digest, brought)
        if not isinstance(admission, Admission):
            return admission
        renewed = admission_renewed(admission)
        tx.authorizations.put_admission(renewed, expect=admission.version)
        _put_refresh(tx, renewed, secret)
        return Admitted(admission=renewed, refresh=secret)

    return _answer(adapters.store.write(work))


def _shown(
    tx: Transaction, adapters: Adapters, namespace: str, digest: str, brought: Renewal
) -> Admission | DeniedError:
    """Returns the admission under lock; a refusal that ended it is returned, so the end commits."""
    now = adapters.clock.now()
    shown = tx.authorizations.refresh(namespace, digest)
    admission = tx.authorizations.admission(namespace, shown.admission) if shown is not None else None
    if shown is None or admission is None:
        raise BadRefreshError("the refresh token is unknown")
    leak = leak_of(admission, shown, brought)
    if leak is not None:
        end_row(tx, adapters, admission, leak.value, client_actor(brought.client, "refresh-token"))
        return ReusedRefreshError(f"the client is let in no more: {leak.value}")
    require_renewable(admission, brought, now)
    _require_authority(tx, admission, now)
    return admission


def end_admissions_of(tx: Transaction, adapters: Adapters, namespace: str, client: str, actor: Actor) -> None:
    tx.authorizations.drop_asked_of(namespace, client)
    for one in tx.authorizations.admissions_of(namespace, client):
        end_row(tx, adapters, one, "its client was removed", actor)


def sweep_asked(adapters: Adapters) -> int:
    """Deletes day-old requests and refresh tokens of ended admissions; returns their number."""
    before = Instant(min(adapters.clock.now(), adapters.store.last_instant()) - _KEPT)

    def work(tx: Transaction) -> int:
        requests = tx.authorizations.sweep_asked(before, limit=_TURN)
        return requests + tx.authorizations.sweep_refreshes(before, limit=_TURN)

    return adapters.store.write(work)


def _admission(
    tx: Transaction, asked: ConsentRequest, brought: Exchange, name: str, now: Instant
) -> Admission:
    require_code(code_of(asked), brought, now)
    if asked.is_persons:
        return as_person(tx, asked, brought, name, now)
    task = tx.tasks.task(asked.namespace, asked.task)
    if task is None:
        raise NoTaskError(f"no task is named `{asked.task}`")
    admission = Admission(
        namespace=asked.namespace,
        id=name,
        client=asked.request.client,
        agent=asked.agent,
        task=asked.task,
        person=asked.person,
        resource=asked.request.resource,
        scope=asked.request.scope,
        jkt=brought.jkt,
        begun=now,
        until=task.deadline,
    )
    _require_authority(tx, admission, now)
    return admission


def _require_authority(tx: Transaction, admission: Admission, now: Instant) -> None:
    space = admission.namespace
    persons = tx.identities.persons(space)
    require_consenter(persons, admission)
    agent = tx.identities.agent(space, admission.agent)
    if agent is None:
        raise UnknownIdentityError(f"no agent is named `{admission.agent}`")
    require_active(agent, persons)
    task = tx.tasks.task(space, admission.task)
    if task is None:
        raise NoTaskError(f"no task is named `{admission.task}`")
    require_in_charge(task, agent.owner, admission.person)
    require_not_stopped(tx.revocation.lock_kill_switch(space))
    require_live(admission.task, tx.tasks.lock_heads(space, {admission.task}), now)


def _put_refresh(tx: Transaction, admission: Admission, secret: str) -> None:
    tx.authorizations.put_refresh(
        Refresh(
            namespace=admission.namespace,
            digest=refresh_digest(secret),
            admission=admission.id,
            turn=admission.turn,
        )
    )


def end_row(tx: Transaction, adapters: Adapters, admission: Admission, why: str, actor: Actor) -> None:
    now = adapters.clock.now()
    ended = admission_ended(admission, now, why)
    if ended is admission:
        return
    tx.authorizations.put_admission(ended, expect=admission.version)
    event = AdmissionEnded(
        admission=ended.id,
        client=ended.client,
        agent=ended.agent,
        task=ended.task,
        why=why,
        by=actor.name,
        proof=actor.proof,
    )
    tx.audit.append(ended.namespace, adapters.writer, [event], now)


def client_actor(client: str, proof: str) -> Actor:
    return Actor(name=f"client:{client}", proof=proof)


def _answer(found: T | DeniedError) -> T:
    if isinstance(found, DeniedError):
        raise found
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientToken:
    """The token response; the only place of both secrets."""

    issued: Issued
    refresh: str
    """Empty if there is no refresh token."""
    admission: Admission

    def __repr__(self) -> str:
        """Hides the secrets."""
        return f"ClientToken({self.issued.token.id!r}, {self.admission.id!r})"


class ClientTokens:
    """Gives tokens for codes and refresh tokens; must be used from one thread at a time."""

    def __init__(self, adapters: Adapters, tokens: Tokens) -> None:
        self._adapters = adapters
        self._tokens = tokens

    def by_code(self, namespace: str, code: str, brought: Exchange) -> ClientToken:
        admitted = exchange_code(self._adapters, namespace, code, brought)
        one = admitted.admission
        issued = self._issue_as_person(admitted) if one.is_persons else self._issue(one, "code")
        return ClientToken(issued=issued, refresh=admitted.refresh, admission=one)

    def by_refresh(self, namespace: str, refresh: str, brought: Renewal) -> ClientToken:
        issued = self._issue(look_at_refresh(self._adapters, namespace, refresh, brought), "refresh-token")
        admitted = renew(self._adapters, namespace, refresh, brought)
        return ClientToken(issued=issued, refresh=admitted.refresh, admission=admitted.admission)

    def _issue_as_person(self, admitted: Admitted) -> Issued:
        admission, signed = admitted.admission, admitted.signed
        order = PersonTokenOrder(
            namespace=admission.namespace,
            person=admission.person,
            audience=admission.resource,
            binding=_bound(admission.jkt),
            until=admission.until,
            acr=signed.acr,
            authenticated=signed.authenticated,
            parent=admission.id,
        )
        return self._tokens.issue_person_token(order, Actor(name=f"client:{admission.client}", proof="code"))

    def _issue(self, admission: Admission, proof: str) -> Issued:
        bound = _bound(admission.jkt)
        order = TaskTokenOrder(
            namespace=admission.namespace,
            task=admission.task,
            agent=admission.agent,
            audience=admission.resource,
            binding=bound,
            bearer=bound is None,
            parent=admission.id,
        )
        return self._tokens.issue_task_token(order, Actor(name=f"client:{admission.client}", proof=proof))


def _bound(jkt: str) -> Binding | None:
    return Binding(kind=BindingKind.DPOP, thumbprint=jkt) if jkt else None

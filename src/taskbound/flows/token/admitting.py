"""Codes and refresh tokens: the token endpoint for clients that people use.

Of `admitting`:

1. A code is looked at under lock, and is used by whoever brings it: of all that bring one at once, to
   whatever daemon, one is the first. Whoever is not right brings nothing, and nobody after them
   (`core…asked`, rule 6).
2. A code that comes again ends what it brought (RFC 6749 §4.1.2), and a refresh token that shows to be in
   other hands ends its admission. Each is recorded once: what has ended can't end again.
3. A client is let in while its task gives authority: task, ancestors, the kill switch, the agent and the
   person who consented are looked at anew each time, and whether that person is in charge of the task still
   (`core.task.child`, rule 5). A paused task refuses a refresh token and does not use it up.
4. The client's registration goes, and all that it was let in to goes with it, in one transaction.
5. A client that acts as a person is let in for one token's time, while the person is there and the sign-in
   lasts by which they said so. A stop doesn't keep it out: people lift it. It gets no refresh token.
6. The secret is in the answer and nowhere else. It is durable before it is told: a client that does not
   hear of its next refresh token has to be consented to anew.

Of `client_tokens`:

1. The token is of the task that a person consented to, for the one resource that they were shown, and ends
   with the admission: it is read whenever the token is shown (`standing`, rule 5).
2. It is bound to the DPoP key that the client proved. A client that proved none gets a bearer token: most
   that people have can do no better. It is good at that one resource, for five minutes at most.
3. A refresh token is used up only once the new token is there: a signer that is away costs nobody a consent.
   What was issued beside it, where another one came first, was told to nobody and ends with the admission.
   A code is used up first, whatever comes of it: two tokens of one code would be worse.
4. A client that acts as a person gets a person's token, bound to its key, which says how the person had
   signed in; it ends with the admission too.

Of `acting_as`:

1. It is registered here, asks at our own issuer, and for the scope `operations` alone.
2. It is let in for one token's time, while the person is there and the sign-in lasts by which they said so.
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
    AskedState,
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
    from taskbound.core.token.authorization.asked import Asked, Exchange
    from taskbound.core.token.authorization.request import AuthorizationRequest, Client, Renewal
    from taskbound.flows.means import Means
    from taskbound.flows.token.issuing import Tokens
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


T = TypeVar("T")
_TURN: Final = 1000
_KEPT: Final = days(1)
"""How long a request is kept: a code of it that comes again is known so long."""
_AGAIN: Final = "its code came twice"


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A client that is let in, and the refresh token that is told this once."""

    admission: Admission
    refresh: str
    """Empty for a client that acts as a person (rule 5)."""
    signed: Signed = UNSIGNED
    """How the person had signed in as whom it acts."""

    def __repr__(self) -> str:
        """Without the secret."""
        return f"Admitted({self.admission.id!r})"


def exchange_code(means: Means, namespace: str, code: str, brought: Exchange) -> Admitted:
    """Let a client in by its code (rules 1 to 3).

    Raises:
        BadCodeError: It is none, or no more, or not for this.
        BadVerifierError: Who brings it is not who asked for it.
        ReusedCodeError: It came before; what it brought has ended.
        DeniedError: Its task gives no authority.
    """
    digest = code_digest(code)
    secret = means.chance.secret()
    admission = means.chance.name(PREFIX)

    def work(tx: Transaction) -> Admitted | DeniedError:
        now = means.clock.now()
        asked = tx.authorizations.asked_by(namespace, code=digest)
        if asked is None:
            raise BadCodeError("the code is none of ours")
        if asked.state is AskedState.USED:
            kept = tx.authorizations.admission(namespace, asked.admission) if asked.admission else None
            if kept is not None:
                end_row(tx, means, kept, _AGAIN, client_actor(kept.client, "code"))  # 2
            return ReusedCodeError("the code came before, and what it brought has ended")
        try:
            admitted = _admission(tx, asked, brought, admission, now)
        except DeniedError as error:
            tx.authorizations.put_asked(used(asked, ""), expect=asked.version)  # 1
            refused = CodeRefused(
                request=asked.id, client=asked.request.client, task=asked.task, code=error.code
            )
            tx.audit.append(namespace, means.writer, [refused], now)
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
        tx.audit.append(namespace, means.writer, [event], now)
        refresh = "" if admitted.is_persons else secret  # 5
        return Admitted(admission=admitted, refresh=refresh, signed=asked.signed)

    return _answer(means.store.write(work))


def look_at_refresh(means: Means, namespace: str, refresh: str, brought: Renewal) -> Admission:
    """The admission that a refresh token would renew, which stays as it is; raises as `renew`.

    One that shows to be in other hands ends it all the same.
    """
    digest = refresh_digest(refresh)
    return _answer(means.store.write(lambda tx: _shown(tx, means, namespace, digest, brought)))


def renew(means: Means, namespace: str, refresh: str, brought: Renewal) -> Admitted:
    """Let a client stay by its refresh token, and give it the next one (rules 2 and 3).

    Raises:
        BadRefreshError: It is none.
        ReusedRefreshError: It is in other hands; the admission has ended.
        AdmissionEndedError: The client is let in no more.
        WiderRefreshError: It is asked for more than it is for.
        DeniedError: Its task gives no authority now.
    """
    digest = refresh_digest(refresh)
    secret = means.chance.secret()

    def work(tx: Transaction) -> Admitted | DeniedError:
        admission = _shown(tx, means, namespace, digest, brought)
        if not isinstance(admission, Admission):
            return admission
        renewed = admission_renewed(admission)
        tx.authorizations.put_admission(renewed, expect=admission.version)
        _put_refresh(tx, renewed, secret)
        return Admitted(admission=renewed, refresh=secret)

    return _answer(means.store.write(work))


def _shown(
    tx: Transaction, means: Means, namespace: str, digest: str, brought: Renewal
) -> Admission | DeniedError:
    """What a refresh token may renew now, under lock; a refusal that has ended it is an answer of its own."""
    now = means.clock.now()
    shown = tx.authorizations.refresh(namespace, digest)
    admission = tx.authorizations.admission(namespace, shown.admission) if shown is not None else None
    if shown is None or admission is None:
        raise BadRefreshError("the refresh token is none of ours")
    leak = leak_of(admission, shown, brought)
    if leak is not None:
        end_row(tx, means, admission, leak.value, client_actor(brought.client, "refresh-token"))  # 2
        return ReusedRefreshError(f"the client is let in no more: {leak.value}")
    require_renewable(admission, brought, now)
    _require_authority(tx, admission, now)  # 3
    return admission


def end_admissions_of(tx: Transaction, means: Means, namespace: str, client: str, actor: Actor) -> None:
    """Forget what a client asked for, and let it in nowhere any more (rule 4)."""
    tx.authorizations.drop_asked_of(namespace, client)
    for one in tx.authorizations.admissions_of(namespace, client):
        end_row(tx, means, one, "its client was removed", actor)


def sweep_asked(means: Means) -> int:
    """Forget requests that a day has passed over, and refresh tokens of what is over; how many."""
    before = Instant(min(means.clock.now(), means.store.last_instant()) - _KEPT)

    def work(tx: Transaction) -> int:
        requests = tx.authorizations.sweep_asked(before, limit=_TURN)
        return requests + tx.authorizations.sweep_refreshes(before, limit=_TURN)

    return means.store.write(work)


def _admission(tx: Transaction, asked: Asked, brought: Exchange, name: str, now: Instant) -> Admission:
    """What the code brings.

    Raises:
        DeniedError: It brings nothing.
    """
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
    """Go on only while the task gives authority, and the person who consented is there (rule 3)."""
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


def end_row(tx: Transaction, means: Means, admission: Admission, why: str, actor: Actor) -> None:
    """End an admission with its record; one that has ended stays as it ended (rule 2)."""
    now = means.clock.now()
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
    tx.audit.append(ended.namespace, means.writer, [event], now)


def client_actor(client: str, proof: str) -> Actor:
    """A client that nothing proves, as records call it, by what it brought."""
    return Actor(name=f"client:{client}", proof=proof)


def _answer(found: T | DeniedError) -> T:
    """What the transaction came to: what it refused is told after it is durable."""
    if isinstance(found, DeniedError):
        raise found
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientToken:
    """What a client is answered with. Both texts are in this answer and nowhere else."""

    issued: Issued
    refresh: str
    """Empty where there is none."""
    admission: Admission

    def __repr__(self) -> str:
        """Without the secrets."""
        return f"ClientToken({self.issued.token.id!r}, {self.admission.id!r})"


class ClientTokens:
    """Gives tokens for codes and refresh tokens; used from one thread at a time."""

    def __init__(self, means: Means, tokens: Tokens) -> None:
        """Keep what to work with."""
        self._means = means
        self._tokens = tokens

    def by_code(self, namespace: str, code: str, brought: Exchange) -> ClientToken:
        """The first token, for a code; raises as `exchange_code` and `Tokens.issue_task_token`."""
        admitted = exchange_code(self._means, namespace, code, brought)
        one = admitted.admission
        issued = self._issue_as_person(admitted) if one.is_persons else self._issue(one, "code")
        return ClientToken(issued=issued, refresh=admitted.refresh, admission=one)

    def by_refresh(self, namespace: str, refresh: str, brought: Renewal) -> ClientToken:
        """The next token, for a refresh token (rule 3); raises as `renew` and `Tokens.issue_task_token`."""
        issued = self._issue(look_at_refresh(self._means, namespace, refresh, brought), "refresh-token")
        admitted = renew(self._means, namespace, refresh, brought)
        return ClientToken(issued=issued, refresh=admitted.refresh, admission=admitted.admission)

    def _issue_as_person(self, admitted: Admitted) -> Issued:
        """A person's token (rule 4)."""
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
            bearer=bound is None,  # 2
            parent=admission.id,  # 1
        )
        return self._tokens.issue_task_token(order, Actor(name=f"client:{admission.client}", proof=proof))


def _bound(jkt: str) -> Binding | None:
    return Binding(kind=BindingKind.DPOP, thumbprint=jkt) if jkt else None

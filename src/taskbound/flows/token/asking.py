"""Authorization requests of clients, and persons' answers to them.

- A pending request gives no right. At most 64 wait per namespace, each for five minutes, so flooding fills no
  disk.
- A person types the code that their browser shows; after ten wrong ones in five minutes no more are accepted,
  and each is recorded. A typed code proves no sign-in: a request that demands one needs a person signed in
  with the browser that began it.
- A task started for a request that was answered meanwhile, or whose answer never came, ends
  (`flows.task.unclaimed`).
- A person lets a client act as them only for themselves and while their sign-in lasts, without agent or task.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from taskbound.core.audit.events import ClientConsented, ClientDenied, ConsentMistyped
from taskbound.core.clock import Instant
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
from taskbound.core.task import NoTaskError, TaskEvent, require_in_charge
from taskbound.core.token.authorization.asked import (
    UNSIGNED,
    WAITS,
    ConsentRequest,
    ConsentState,
    Signed,
    answered,
    answered_as_person,
    code_digest,
    coded,
    require_browser,
    require_demands,
    require_open,
    secret_digest,
    typed_code,
    typed_digest,
)
from taskbound.core.token.authorization.errors import NotAskedError, TooManyAskedError, TooManyTriesError
from taskbound.core.token.authorization.request import (
    parse_parameters,
    parse_request,
    refused_at,
    require_worth_describing,
)
from taskbound.flows.task import claim
from taskbound.flows.token.admitting import person_request

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskbound.core.token.authorization.errors import RedirectedError
    from taskbound.core.token.authorization.request import Client, ClientId
    from taskbound.flows.means import Actor, Adapters
    from taskbound.flows.task import TaskOrder, Tasks
    from taskbound.ports.store import Transaction


def let_in(  # noqa: PLR0913 - what an answer is made of, each by its name
    adapters: Adapters,
    tasks: Tasks,
    found: ConsentRequest,
    actor: Actor,
    *,
    task: str,
    order: TaskOrder | None,
    acr: str,
    authenticated: Instant,
) -> ConsentRequest:
    """Consents for the client; `acr` and `authenticated` are the sign-in's, empty and 1970 if unknown."""
    require_demands(found, acr, authenticated)
    if found.is_persons:
        raise NotAskedError("the client asks to act as you, and for no task of an agent")
    if order is None:
        return adapters.store.write(lambda tx: _let_in(tx, adapters, found, task, actor))
    if order.agent != found.agent:
        raise NoTaskError(f"the client asks for agent `{found.agent}`, and for no other")
    started = tasks.start(replace(order, unclaimed=True), actor)
    try:
        return adapters.store.write(lambda tx: _let_in(tx, adapters, found, started.id, actor))
    except TaskboundError:
        why = "no client was admitted to it"
        tasks.end(found.namespace, started.id, TaskEvent.CANCEL, actor, reason=why)
        raise


def let_act(adapters: Adapters, found: ConsentRequest, actor: Actor, signed: Signed) -> ConsentRequest:
    """Lets the client act as this person. Raises SignInDemandedError, NotAskedError, or AnsweredError."""
    require_demands(found, signed.acr, signed.authenticated)

    def work(tx: Transaction) -> ConsentRequest:
        now = adapters.clock.now()
        asked = answered_as_person(
            tx.authorizations.asked(found.namespace, found.id), actor.name, signed, now
        )
        tx.authorizations.put_asked(asked, expect=asked.version - 1)
        tx.audit.append(found.namespace, adapters.writer, [_consented(asked, actor)], now)
        return asked

    return adapters.store.write(work)


def deny_request(
    adapters: Adapters, found: ConsentRequest, actor: Actor, *, unmet: bool = False
) -> ConsentRequest:
    """Denies the request; `unmet` if the demanded sign-in is impossible."""

    def work(tx: Transaction) -> ConsentRequest:
        now = adapters.clock.now()
        person = "" if unmet else actor.name
        denied = answered(tx.authorizations.asked(found.namespace, found.id), person, "", now)
        tx.authorizations.put_asked(denied, expect=denied.version - 1)
        event = ClientDenied(
            request=denied.id,
            client=denied.request.client,
            agent=denied.agent,
            by=actor.name,
            proof=actor.proof,
        )
        tx.audit.append(found.namespace, adapters.writer, [event], now)
        return denied

    return adapters.store.write(work)


def refusal_of(found: ConsentRequest) -> RedirectedError:
    """Returns the error for a client that was denied, or whose sign-in demand is impossible."""
    if found.person:
        return found.request.refusal("access_denied", "the person let the client have nothing")
    return found.request.refusal("unmet_authentication_requirements", "no sign-in met the request's demand")


def _let_in(
    tx: Transaction, adapters: Adapters, found: ConsentRequest, task: str, actor: Actor
) -> ConsentRequest:
    now = adapters.clock.now()
    space = found.namespace
    asked = answered(tx.authorizations.asked(space, found.id), actor.name, task, now)
    chosen = tx.tasks.task(space, task)
    agent = tx.identities.agent(space, asked.agent)
    if chosen is None or agent is None or chosen.agent != asked.agent:
        raise NoTaskError(f"`{task}` is no task of agent `{asked.agent}`")
    require_in_charge(chosen, agent.owner, actor.name)
    claim(tx, space, task, now)
    tx.authorizations.put_asked(asked, expect=asked.version - 1)
    tx.audit.append(space, adapters.writer, [_consented(asked, actor)], now)
    return asked


def _consented(asked: ConsentRequest, actor: Actor) -> ClientConsented:
    return ClientConsented(
        request=asked.id,
        client=asked.request.client,
        host=asked.host,
        redirect=asked.request.redirect.host,
        agent=asked.agent,
        task=asked.task,
        resource=asked.request.resource,
        by=actor.name,
        proof=actor.proof,
    )


_WAITING: Final = 64
"""Requests that wait at once."""
_NEVER: Final = Instant(0)
_TRIES: Final = 10
"""Wrong codes of one person."""
_SCOPES: Final = frozenset({"task"})


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedRequest:
    """A pending request; the only place of its two secrets."""

    asked: ConsentRequest
    secret: str
    """What the browser is known by."""
    typed: str
    """What the person types."""

    def __repr__(self) -> str:
        """Hides the secrets."""
        return f"Begun({self.asked.id!r})"


def resource_of(base: str, agent: str) -> str:
    return f"{base}/mcp/{agent}"


class Askings:
    """Requests of one namespace's clients, and the answers to them."""

    def __init__(self, adapters: Adapters, tasks: Tasks) -> None:
        self._adapters = adapters
        self._tasks = tasks
        self._wrong: dict[tuple[str, str], list[Instant]] = {}
        self._lock = threading.Lock()

    def begin(
        self,
        namespace: str,
        pairs: Sequence[tuple[str, str]],
        *,
        client: Client,
        base: str,
        issuer: str,
        signs_in: bool = False,
    ) -> StartedRequest:
        """`base` is the origin of agents' gateways, `issuer` our own name."""
        told = parse_parameters(pairs)
        agents = self._resources(namespace, base)
        if told.get("resource") == issuer:
            request, agent = person_request(told, client, issuer), ""
        else:
            request = parse_request(told, client, resources=agents, scopes=_SCOPES)
            agent = agents[request.resource]
        if (request.acr or request.max_age is not None) and not signs_in:
            raise request.refusal("unmet_authentication_requirements", "no such sign-in is known here")
        secret = self._adapters.chance.secret()
        typed = typed_code(secret)
        now = self._adapters.clock.now()
        asked = ConsentRequest(
            namespace=namespace,
            id=self._adapters.chance.name("ask"),
            request=request,
            shown=client.name,
            host=client.host,
            agent=agent,
            browser=secret_digest(secret),
            typed=typed_digest(typed),
            asked=now,
        )

        def work(tx: Transaction) -> None:
            if tx.authorizations.count_asked(namespace, Instant(now - WAITS)) >= _WAITING:
                raise TooManyAskedError(f"{_WAITING} requests wait for people")
            tx.authorizations.put_asked(asked, expect=0)

        self._adapters.store.write(work)
        return StartedRequest(asked=asked, secret=secret, typed=typed)

    def require_worth_describing(
        self, namespace: str, told: Mapping[str, str], client: ClientId, *, base: str
    ) -> None:
        """Checks a request before its client's document is fetched."""
        require_worth_describing(told, client, resources=self._resources(namespace, base), scopes=_SCOPES)

    def _resources(self, namespace: str, base: str) -> dict[str, str]:
        with self._adapters.store.read() as snapshot:
            return {resource_of(base, one.name): one.name for one in snapshot.identities.agents(namespace)}

    def see(self, namespace: str, asked: str, secret: str) -> ConsentRequest:
        with self._adapters.store.read() as snapshot:
            found = require_browser(snapshot.authorizations.asked(namespace, asked), secret)
        return require_open(found, self._adapters.clock.now()) if found.state is ConsentState.OPEN else found

    def look(self, namespace: str, typed: str, actor: Actor) -> ConsentRequest:
        now = self._adapters.clock.now()
        who = (namespace, actor.name)
        with self._lock:
            wrong = [one for one in self._wrong.get(who, []) if now - one < WAITS]
            self._wrong[who] = wrong
            if len(wrong) >= _TRIES:
                raise TooManyTriesError(f"{_TRIES} codes were typed under which nothing waits")
        try:
            digest = typed_digest(typed)
            with self._adapters.store.read() as snapshot:
                return require_open(snapshot.authorizations.asked_by(namespace, typed=digest), now)
        except NotAskedError:
            with self._lock:
                wrong.append(now)
            event = ConsentMistyped(by=actor.name, proof=actor.proof)
            self._adapters.store.write(
                lambda tx: tx.audit.append(
                    namespace, self._adapters.writer, [event], self._adapters.clock.now()
                )
            )
            raise

    def consent(
        self, namespace: str, typed: str, actor: Actor, *, task: str = "", order: TaskOrder | None = None
    ) -> ConsentRequest:
        found = self.look(namespace, typed, actor)
        return self.consent_here(found, actor, acr="", authenticated=_NEVER, task=task, order=order)

    def consent_here(
        self,
        found: ConsentRequest,
        actor: Actor,
        *,
        acr: str,
        authenticated: Instant,
        task: str = "",
        order: TaskOrder | None = None,
    ) -> ConsentRequest:
        """As `consent`, by a person signed in with the browser that began it."""
        return let_in(
            self._adapters,
            self._tasks,
            found,
            actor,
            task=task,
            order=order,
            acr=acr,
            authenticated=authenticated,
        )

    def let_act(self, namespace: str, typed: str, actor: Actor) -> ConsentRequest:
        return self.let_act_here(self.look(namespace, typed, actor), actor, UNSIGNED)

    def let_act_here(self, found: ConsentRequest, actor: Actor, signed: Signed) -> ConsentRequest:
        return let_act(self._adapters, found, actor, signed)

    def deny(self, namespace: str, typed: str, actor: Actor) -> ConsentRequest:
        return deny_request(self._adapters, self.look(namespace, typed, actor), actor)

    def deny_here(self, found: ConsentRequest, actor: Actor, *, unmet: bool = False) -> ConsentRequest:
        """As `deny`, in the browser that began it; `unmet` if the sign-in is impossible."""
        return deny_request(self._adapters, found, actor, unmet=unmet)

    def collect(self, namespace: str, asked: str, secret: str, *, issuer: str) -> str:
        """Returns the URL that the browser goes on to, '' while unanswered."""
        code = self._adapters.chance.secret()

        def work(tx: Transaction) -> str:
            now = self._adapters.clock.now()
            found = require_browser(tx.authorizations.asked(namespace, asked), secret)
            if found.state is ConsentState.OPEN:
                require_open(found, now)
                return ""
            if found.state is ConsentState.DENIED:
                return refused_at(refusal_of(found), issuer=issuer)
            given = coded(found, code_digest(code), now)
            tx.authorizations.put_asked(given, expect=found.version)
            return found.request.answered(code, issuer=issuer)

        return self._adapters.store.write(work)

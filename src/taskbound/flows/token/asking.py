"""Authorization requests of clients, and the answers of people to them.

Of `asking`:

1. Nothing that waits gives anything. At most 64 requests wait in a namespace, each for five minutes: whoever
   floods it keeps others from asking, and fills no disk.
2. A person answers by typing the code that their own browser shows. Ten wrong ones in five minutes, and they
   type no more; each leaves a record. What they get to see are facts, and what the client says of itself is
   told as its own word.
3. Whoever consents does so to one task of the agent whose resource the client asked for (`answering`).
4. The answer goes to the browser that began it, once. It may look at what it began as often as it likes.
5. A client that is registered may ask to act as a person (`acting_as`); no host is asked for a document then.
6. How well, or how lately, the person has to have signed in can't be promised by whoever types a code. Where
   nobody signs in, who asks for that is told so before anybody waits; where people do, it is answered by who
   is signed in so with the browser that began it.

Of `answering`:

1. Whoever consents opens a task by the rules of every task's start, or chooses one that runs and that they
   are in charge of (`core.task.child`). The task's agent is the one whose resource the client asked for.
2. A request may want to know how lately and how well the person signed in. Whoever types a code has not.
3. A task that was started for a request that somebody else answered meanwhile ends; so does one whose answer
   never came (`flows.task.unclaimed`).
4. Whoever lets a client act as them says so of themselves, for as long as the sign-in lasts by which they
   do. It is said of no agent and no task, and is one answer, which no other one stands for.
5. Each answer is one record. That nobody can sign in as it is wanted is an answer too, and no person's.
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
    Asked,
    AskedState,
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
    from taskbound.flows.means import Actor, Means
    from taskbound.flows.task import TaskOrder, Tasks
    from taskbound.ports.store import Transaction


def let_in(  # noqa: PLR0913 - what an answer is made of, each by its name
    means: Means,
    tasks: Tasks,
    found: Asked,
    actor: Actor,
    *,
    task: str,
    order: TaskOrder | None,
    acr: str,
    authenticated: Instant,
) -> Asked:
    """Let the client have tokens of a task that runs, or of one that is started.

    Args:
        means: The adapters.
        tasks: Starts tasks.
        found: What it asks for.
        actor: The person.
        task: One that runs; empty where `order` says what to start.
        order: What to start.
        acr: How well the person signed in; empty where nobody knows.
        authenticated: When; 1970 where nobody knows.

    Raises:
        SignInDemandedError: Rule 2.
        NotAskedError: Nothing waits any more, or it asks to act as the person.
        AnsweredError: It was answered.
        DeniedError: The task is none of theirs, or can't start.
    """
    require_demands(found, acr, authenticated)  # 2
    if found.is_persons:
        raise NotAskedError("the client asks to act as you, and for no task of an agent")  # 4
    if order is None:
        return means.store.write(lambda tx: _let_in(tx, means, found, task, actor))
    if order.agent != found.agent:
        raise NoTaskError(f"the client asks for agent `{found.agent}`, and for no other")
    started = tasks.start(replace(order, unclaimed=True), actor)
    try:
        return means.store.write(lambda tx: _let_in(tx, means, found, started.id, actor))
    except TaskboundError:
        why = "nobody was let in to it"
        tasks.end(found.namespace, started.id, TaskEvent.CANCEL, actor, reason=why)  # 3
        raise


def let_act(means: Means, found: Asked, actor: Actor, signed: Signed) -> Asked:
    """Let the client act as the person who says so (rule 4).

    Args:
        means: The adapters.
        found: What it asks for.
        actor: The person.
        signed: How they had signed in.

    Raises:
        SignInDemandedError: Rule 2.
        NotAskedError: Nothing waits any more, or it asks for an agent's task.
        AnsweredError: It was answered.
    """
    require_demands(found, signed.acr, signed.authenticated)  # 2

    def work(tx: Transaction) -> Asked:
        now = means.clock.now()
        asked = answered_as_person(
            tx.authorizations.asked(found.namespace, found.id), actor.name, signed, now
        )
        tx.authorizations.put_asked(asked, expect=asked.version - 1)
        tx.audit.append(found.namespace, means.writer, [_consented(asked, actor)], now)
        return asked

    return means.store.write(work)


def let_have_nothing(means: Means, found: Asked, actor: Actor, *, unmet: bool = False) -> Asked:
    """Let the client have nothing; `unmet` where nobody can sign in as it wants (rule 5).

    Raises:
        NotAskedError: Nothing waits any more.
        AnsweredError: It was answered.
    """

    def work(tx: Transaction) -> Asked:
        now = means.clock.now()
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
        tx.audit.append(found.namespace, means.writer, [event], now)
        return denied

    return means.store.write(work)


def refusal_of(found: Asked) -> RedirectedError:
    """What a client is told whom somebody denied, or for whom nobody could sign in (rule 5)."""
    if found.person:
        return found.request.refusal("access_denied", "the person let the client have nothing")
    return found.request.refusal("unmet_authentication_requirements", "nobody signed in as it was asked for")


def _let_in(tx: Transaction, means: Means, found: Asked, task: str, actor: Actor) -> Asked:
    now = means.clock.now()
    space = found.namespace
    asked = answered(tx.authorizations.asked(space, found.id), actor.name, task, now)
    chosen = tx.tasks.task(space, task)
    agent = tx.identities.agent(space, asked.agent)
    if chosen is None or agent is None or chosen.agent != asked.agent:
        raise NoTaskError(f"`{task}` is no task of agent `{asked.agent}`")
    require_in_charge(chosen, agent.owner, actor.name)  # 1
    claim(tx, space, task, now)
    tx.authorizations.put_asked(asked, expect=asked.version - 1)
    tx.audit.append(space, means.writer, [_consented(asked, actor)], now)
    return asked


def _consented(asked: Asked, actor: Actor) -> ClientConsented:
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
"""Requests that wait at once (rule 1)."""
_NEVER: Final = Instant(0)
_TRIES: Final = 10
"""Wrong codes of one person (rule 2)."""
_SCOPES: Final = frozenset({"task"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A request that waits now. The two secrets are in this answer and nowhere else."""

    asked: Asked
    secret: str
    """What the browser is known by."""
    typed: str
    """What the person types."""

    def __repr__(self) -> str:
        """Without the secrets."""
        return f"Begun({self.asked.id!r})"


def resource_of(base: str, agent: str) -> str:
    """How the gateway of an agent is called: the one resource of its tokens."""
    return f"{base}/mcp/{agent}"


class Askings:
    """Requests of one namespace's clients, and the answers to them."""

    def __init__(self, means: Means, tasks: Tasks) -> None:
        """Keep what to work with."""
        self._means = means
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
    ) -> Begun:
        """Have a request wait for a person (rule 1).

        Args:
            namespace: Where.
            pairs: Its parameters, in order.
            client: Whom `client_id` names.
            base: The origin at which agents' gateways are reached.
            issuer: Our own name.
            signs_in: Whether people sign in here in a browser.

        Raises:
            RepeatedParameterError: A parameter stands twice.
            BadRedirectError: The answer would go elsewhere than to the client.
            RedirectedError: It can't be answered, and the client may be told so.
            TooManyAskedError: Too many wait.
        """
        told = parse_parameters(pairs)
        agents = self._resources(namespace, base)
        if told.get("resource") == issuer:
            request, agent = person_request(told, client, issuer), ""
        else:
            request = parse_request(told, client, resources=agents, scopes=_SCOPES)
            agent = agents[request.resource]
        if (request.acr or request.max_age is not None) and not signs_in:  # 6
            raise request.refusal("unmet_authentication_requirements", "no such sign-in is known here")
        secret = self._means.chance.secret()
        typed = typed_code(secret)
        now = self._means.clock.now()
        asked = Asked(
            namespace=namespace,
            id=self._means.chance.name("ask"),
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

        self._means.store.write(work)
        return Begun(asked=asked, secret=secret, typed=typed)

    def require_worth_describing(
        self, namespace: str, told: Mapping[str, str], client: ClientId, *, base: str
    ) -> None:
        """Go on only with a request for which it is worth asking what its client is.

        Raises:
            BadRedirectError: The answer would go where no document's client is sent one.
            BadClientRequestError: It can't be answered.
        """
        require_worth_describing(told, client, resources=self._resources(namespace, base), scopes=_SCOPES)

    def _resources(self, namespace: str, base: str) -> dict[str, str]:
        """The agents of a namespace, by how their gateways are called."""
        with self._means.store.read() as snapshot:
            return {resource_of(base, one.name): one.name for one in snapshot.identities.agents(namespace)}

    def see(self, namespace: str, asked: str, secret: str) -> Asked:
        """What this browser began, as long as it waits, or with the answer that it got (rule 4).

        Raises:
            NotAskedError: This browser began no such request, or its time is over.
        """
        with self._means.store.read() as snapshot:
            found = require_browser(snapshot.authorizations.asked(namespace, asked), secret)
        return require_open(found, self._means.clock.now()) if found.state is AskedState.OPEN else found

    def look(self, namespace: str, typed: str, actor: Actor) -> Asked:
        """The request under what a person typed (rule 2).

        Raises:
            NotAskedError: None waits under it.
            AnsweredError: It was answered.
            TooManyTriesError: They typed too many.
        """
        now = self._means.clock.now()
        who = (namespace, actor.name)
        with self._lock:
            wrong = [one for one in self._wrong.get(who, []) if now - one < WAITS]
            self._wrong[who] = wrong
            if len(wrong) >= _TRIES:
                raise TooManyTriesError(f"{_TRIES} codes were typed under which nothing waits")
        try:
            digest = typed_digest(typed)
            with self._means.store.read() as snapshot:
                return require_open(snapshot.authorizations.asked_by(namespace, typed=digest), now)
        except NotAskedError:
            with self._lock:
                wrong.append(now)
            event = ConsentMistyped(by=actor.name, proof=actor.proof)
            self._means.store.write(
                lambda tx: tx.audit.append(namespace, self._means.writer, [event], self._means.clock.now())
            )
            raise

    def consent(
        self, namespace: str, typed: str, actor: Actor, *, task: str = "", order: TaskOrder | None = None
    ) -> Asked:
        """Let the client have tokens of a task that runs, or of one that is started (rule 3).

        Args:
            namespace: Where.
            typed: What the person typed.
            actor: The person.
            task: One that runs; empty where `order` says what to start.
            order: What to start.

        Raises:
            NotAskedError: Nothing waits under it any more.
            AnsweredError: It was answered.
            DeniedError: The task is none of theirs, or can't start.
        """
        found = self.look(namespace, typed, actor)
        return self.consent_here(found, actor, acr="", authenticated=_NEVER, task=task, order=order)

    def consent_here(
        self,
        found: Asked,
        actor: Actor,
        *,
        acr: str,
        authenticated: Instant,
        task: str = "",
        order: TaskOrder | None = None,
    ) -> Asked:
        """The same, by a person who is signed in with the browser that began it (rule 6).

        Args:
            found: What waits (`see`).
            actor: The person.
            acr: How well they signed in.
            authenticated: When.
            task: As `consent`.
            order: As `consent`.
        """
        return let_in(
            self._means,
            self._tasks,
            found,
            actor,
            task=task,
            order=order,
            acr=acr,
            authenticated=authenticated,
        )

    def let_act(self, namespace: str, typed: str, actor: Actor) -> Asked:
        """Let the client act as this person, who types the code; raises as `consent` (rule 5)."""
        return self.let_act_here(self.look(namespace, typed, actor), actor, UNSIGNED)

    def let_act_here(self, found: Asked, actor: Actor, signed: Signed) -> Asked:
        """The same, by a person who is signed in with the browser that began it (rules 5 and 6)."""
        return let_act(self._means, found, actor, signed)

    def deny(self, namespace: str, typed: str, actor: Actor) -> Asked:
        """Let the client have nothing; raises as `look`."""
        return let_have_nothing(self._means, self.look(namespace, typed, actor), actor)

    def deny_here(self, found: Asked, actor: Actor, *, unmet: bool = False) -> Asked:
        """The same, where it began; `unmet` where nobody can sign in as is wanted (rule 6)."""
        return let_have_nothing(self._means, found, actor, unmet=unmet)

    def collect(self, namespace: str, asked: str, secret: str, *, issuer: str) -> str:
        """Where the browser goes on to; empty while nobody has answered (rule 4).

        Raises:
            NotAskedError: This browser began no such request, or its time is over.
            AnsweredError: It was told before.
        """
        code = self._means.chance.secret()

        def work(tx: Transaction) -> str:
            now = self._means.clock.now()
            found = require_browser(tx.authorizations.asked(namespace, asked), secret)
            if found.state is AskedState.OPEN:
                require_open(found, now)
                return ""
            if found.state is AskedState.DENIED:
                return refused_at(refusal_of(found), issuer=issuer)
            given = coded(found, code_digest(code), now)
            tx.authorizations.put_asked(given, expect=found.version)
            return found.request.answered(code, issuer=issuer)

        return self._means.store.write(work)

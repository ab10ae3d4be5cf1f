"""Token exchange (RFC 8693) for a proven agent.

Of `exchange`:

1. Whoever asks is proven before (`flows.identity`), and is the actor. Nobody acts for another agent.
2. The subject is one of: a task, by its name, which is the agent's own; a task token, its own or another
   agent's; a person's token. A token that is exchanged is for us: its `aud` is our issuer's name. A resource
   that was shown one can't hand it on. Its holder meant this agent (`require_meant`): whoever only has its
   text gets nothing for it.
3. The token of another agent's task is exchanged for one of a child task (`flows.task.delegate`): narrower,
   never longer, in its own name. An agent hands on only to one whose owner is in charge of the task: who
   asked for it, or owns the first agent.
4. A person's token is exchanged for one of a task that is started in their name, from a template that the
   request names: what they may start is asked as if they did it themselves. So are the rules in force about
   `task:start` and `task:delegate`: there is no way around them, and what they refuse is recorded.
5. A token is always bound, to the key that this request was made with, and as firmly as the one that it is
   made of. It ends no later than that one and than what proved the agent; so does a transaction token.
6. Scope, target and task are what is asked for or nothing is issued (`core.token.exchange`).
7. A task that was begun for a token ends when the token can't be issued: it would run for nobody. Where we
   are killed before, whoever looks next ends it (`flows.task.unclaimed`).
   What was granted is told with it (RFC 9396 §7): the task, until when, and within which time its agent is to
   be heard of. Both are the template's at most: no agent makes its authority, or the watch over it, last.
8. A subject token that is worth nothing, or not meant for who shows it, leaves one record.
9. What a gateway holds it carries out itself, and no agent gets a transaction token of it (law 2).

Of `granted`:

1. Rules are told of the time that is granted at most, which is the template's (`flows.task.order`, rule 4),
   and neither of what an agent would like nor of nothing where it says none: no rule about `seconds` is
   passed by silence, or met by a month that nobody gets.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

from taskbound.core.clock import Instant, seconds
from taskbound.core.decision.hold import is_afar
from taskbound.core.errors import DeniedError, MalformedError, TaskboundError
from taskbound.core.identity.proof import Principal, PrincipalKind, TokenProof, WorkloadProof
from taskbound.core.policy.operations import OPERATIONS
from taskbound.core.task import LIFETIME_LIMIT, NoTaskError, NotInChargeError, TaskEvent
from taskbound.core.token import (
    NEVER,
    NotOpenError,
    TaskGround,
    TokenForm,
    agent_name,
    require_as_firm,
    require_bound,
    require_meant,
)
from taskbound.core.token.exchange import (
    ACCESS_TOKEN,
    TASK_REFERENCE,
    TRANSACTION_TOKEN,
    BadExchangeError,
    BadScopeError,
    TargetUnknownError,
    parse_actor,
    parse_details,
    parse_exchange,
    parse_request_details,
    require_no_details,
)
from taskbound.core.token.values import details_of
from taskbound.flows.means import Actor
from taskbound.flows.policy.operations import Asked, authorized, bases, hold
from taskbound.flows.task import ChildOrder, TaskOrder
from taskbound.flows.token.issuing import Exchanged, TaskTokenOrder, TransactionTokenOrder
from taskbound.flows.token.standing import person_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from taskbound.core.action import JsonValue
    from taskbound.core.identity.proof import Binding
    from taskbound.core.policy.operation import Barred, OperationRequest
    from taskbound.core.task import Task
    from taskbound.core.token import Token
    from taskbound.core.token.exchange import Exchange
    from taskbound.flows.means import Means, Moved
    from taskbound.flows.policy.operations import Basis
    from taskbound.flows.token.issuing import Issued, Tokens
    from taskbound.flows.token.verifying import Verification

    Unbelieved: TypeAlias = Callable[[str, str, str, TaskboundError], None]
    """Records what is shown and worth nothing (`flows.identity.Proofs.refuse`)."""


class Starts(Protocol):
    """Starts tasks and ends them (`flows.task.Tasks`, which itself is used from one thread at a time)."""

    def start(self, order: TaskOrder, actor: Actor) -> Task:
        """The task, running."""

    def end(
        self, namespace: str, task: str, event: TaskEvent, actor: Actor, *, reason: str
    ) -> Sequence[Moved]:
        """End the task and all beneath it; what changed."""


class Hands(Protocol):
    """Hands parts of tasks on (`flows.task.Delegations`, likewise)."""

    def delegate(self, order: ChildOrder, actor: Actor) -> Task:
        """The child, running."""


def actor_of(principal: Principal) -> Actor:
    """An agent that acts for itself, as records have it."""
    return Actor(name=agent_name(principal.namespace, principal.name), proof=principal.proof.words)


def in_name_of(person: str, subject: Token, principal: Principal) -> Actor:
    """The person in whose name an agent acts, as records have it: with the token, and who showed it."""
    shower = agent_name(principal.namespace, principal.name)
    return Actor(name=person, proof=f"token:{subject.id} shown by {shower}")


T = TypeVar("T", TaskOrder, ChildOrder)


def within_template(means: Means, order: T) -> T:
    """The order with the time that its template gives at most (rule 1); as it is where there is no such."""
    with means.store.read() as snapshot:
        template = snapshot.tasks.template(order.namespace, order.template)
    if template is None:
        return order
    return replace(order, seconds=min(order.seconds or template.seconds, template.seconds))


def granted(means: Means, token: Token) -> dict[str, JsonValue]:
    """What a task token says of its task, and within which seconds its agent is to be heard of.

    Raises:
        NoTaskError: There is no such task.
    """
    with means.store.read() as snapshot:
        task = snapshot.tasks.task(token.namespace, token.task)
    if task is None:
        raise NoTaskError(f"no task is named `{token.task}`")
    ground = TaskGround(scope=task.scope.digest, deadline=task.deadline)
    return {**details_of(token, ground), "heartbeat": task.heartbeat, "grace": task.grace}


def until_of(principal: Principal, subject: Token | None) -> Instant:
    """When that ends what a token rests on: the one that it is exchanged for, and what proved the agent."""
    ends = [] if subject is None else [subject.expires]
    if isinstance(principal.proof, WorkloadProof):
        ends.append(principal.proof.until)
    return min(ends, default=NEVER)


def life_in_seconds(issued: Issued) -> int:
    """`expires_in`."""
    return (issued.token.expires - issued.token.issued) // seconds(1)


@contextmanager
def told_of(unbelieved: Unbelieved, principal: Principal, subject: str) -> Iterator[None]:
    """Have it recorded where the subject token is refused meanwhile; nothing is recorded of none."""
    try:
        yield
    except (DeniedError, MalformedError) as error:
        if subject:
            unbelieved(principal.namespace, "token", subject, error)
        raise


class Exchanges:
    """Exchanges tokens; safe from any thread, and waits for the signer."""

    def __init__(  # noqa: PLR0913 - the plugs of an exchange, each by its name
        self,
        means: Means,
        *,
        tokens: Tokens,
        verification: Verification,
        tasks: Starts,
        delegations: Hands,
        targets: Callable[[Principal], Collection[str]],
        refused: Callable[[Barred, OperationRequest, str], None],
        unbelieved: Unbelieved,
    ) -> None:
        """Keep what to work with.

        Args:
            means: What flows are given.
            tokens: Issues.
            verification: Verifies what is exchanged.
            tasks: Starts tasks.
            delegations: Hands parts of tasks on.
            targets: The resources that an agent can have tokens for, beside our own issuer.
            refused: Records what the rules refuse to a person in whose name this agent asks.
            unbelieved: Records what is shown and worth nothing (`flows.identity.Proofs.refuse`).
        """
        self._means = means
        self._tokens = tokens
        self._verification = verification
        self._tasks = tasks
        self._delegations = delegations
        self._targets = targets
        self._refused = refused
        self._told = partial(told_of, unbelieved)

    def exchange(
        self, form: Mapping[str, Sequence[str]], principal: Principal, binding: Binding | None
    ) -> Exchanged:
        """The token that a form asks for.

        Args:
            form: The parameters of the request, each with all its values.
            principal: Who asks, proven (rule 1).
            binding: The key that the request was made with.

        Raises:
            MalformedError: It can't be read as an exchange.
            DeniedError: It is refused, and why; `core.token.exchange.OAUTH_ERRORS` has OAuth's word.
            UnavailableError: It can't be done now.
        """
        with self._told(principal, "".join(form.get("subject_token", ())[:1])):
            asked = parse_exchange(form)
        require_bound(binding)  # 5
        if principal.kind is not PrincipalKind.AGENT:
            raise BadExchangeError("a token is exchanged by an agent")
        issuer = self._tokens.issuing.issuer
        actor = parse_actor(asked, namespace=principal.namespace, agent=principal.name, issuer=issuer)
        if asked.wanted == TRANSACTION_TOKEN:
            return self._transaction(asked, principal, binding)
        if asked.scope not in {"", "task"}:
            raise BadScopeError("the scope of a task token is `task`", where="scope")
        if asked.target not in {issuer, *self._targets(principal)}:
            raise TargetUnknownError("no token is issued for that resource", where="resource")
        task, subject, begun = self._subject(asked, principal, binding)
        order = TaskTokenOrder(
            namespace=principal.namespace,
            task=task,
            agent=principal.name,
            audience=asked.target,
            binding=binding,
            until=until_of(principal, subject),
            parent="" if subject is None else subject.id,
            begun=begun is not None,
            may_act=actor,
        )
        try:
            issued = self._tokens.issue_task_token(order, actor_of(principal))
            details = granted(self._means, issued.token)
        except TaskboundError:
            if begun is not None:
                why = "no token of it could be issued"
                with suppress(TaskboundError):
                    self._tasks.end(principal.namespace, task, TaskEvent.CANCEL, begun, reason=why)  # 7
            raise
        bound = issued.token.binding
        return Exchanged(
            issued=issued,
            kind=ACCESS_TOKEN,
            token_type="DPoP" if bound is not None and bound.kind.value == "jkt" else "Bearer",
            life=life_in_seconds(issued),
            scope="task",
            task=task,
            details=details,
        )

    def _subject(
        self, asked: Exchange, principal: Principal, binding: Binding | None
    ) -> tuple[str, Token | None, Actor | None]:
        """The task of the token, the token that it is exchanged for, and who began the task just now.

        That is rules 2 to 4; nobody began one that ran before.
        """
        if asked.subject_type == TASK_REFERENCE:
            require_no_details(asked.details)  # 6
            return asked.subject, None, None
        with self._told(principal, asked.subject):
            subject = self._verification.verify_subject(asked.subject, namespace=principal.namespace).token
            require_meant(subject, principal.name, binding)  # 2
            require_as_firm(binding, subject.binding)  # 5
        if subject.form is TokenForm.TASK and subject.agent == principal.name:
            require_no_details(asked.details)  # 6
            return subject.task, subject, None
        begin = self._started if subject.form is TokenForm.PERSON else self._handed_on
        task, begun = begin(asked, principal, subject)
        return task, subject, begun

    def _started(self, asked: Exchange, principal: Principal, subject: Token) -> tuple[str, Actor]:
        details = parse_details(asked.details)
        order = TaskOrder(
            namespace=principal.namespace,
            agent=principal.name,
            purpose=details.purpose,
            seconds=details.seconds or LIFETIME_LIMIT,
            template=details.template,
            heartbeat=details.heartbeat,
            grace=details.grace,
            unclaimed=True,  # 7
            bounded=True,  # 7
        )
        order = within_template(self._means, order)
        actor = in_name_of(person_of(subject), subject, principal)
        with hold(*bases(), self._require(actor, subject, "task:start", order, principal.name)):
            return self._tasks.start(order, actor).id, actor  # 4

    def _handed_on(self, asked: Exchange, principal: Principal, subject: Token) -> tuple[str, Actor]:
        details = parse_details(asked.details)
        space = principal.namespace
        with self._means.store.read() as snapshot:
            task = snapshot.tasks.task(space, subject.task)
            above = snapshot.identities.agent(space, subject.agent)
            mine = snapshot.identities.agent(space, principal.name)
        if task is None or above is None or mine is None:
            raise NoTaskError(f"no task is named `{subject.task}`")
        if mine.owner not in {task.requester, above.owner}:
            raise NotInChargeError(
                f"agent `{principal.name}` is `{mine.owner}`'s, who is not in charge of task `{task.id}`"
            )  # 3
        order = ChildOrder(
            namespace=space,
            parent=task.id,
            agent=principal.name,
            purpose=details.purpose,
            seconds=details.seconds,
            template=details.template,
            heartbeat=details.heartbeat,
            grace=details.grace,
            unclaimed=True,  # 7
            bounded=True,  # 7
        )
        actor, told = in_name_of(task.requester, subject, principal), within_template(self._means, order)
        with hold(*bases(), self._require(actor, subject, "task:delegate", told, principal.name)):
            return self._delegations.delegate(order, actor).id, actor

    def _require(
        self, actor: Actor, subject: Token, operation: str, order: TaskOrder | ChildOrder, agent: str
    ) -> Basis:
        """Go on only when the rules in force let the person do this in whose name it is done (rule 4)."""
        proof = TokenProof(token=subject.id, binding=subject.binding, task=subject.task)
        person = Principal(
            kind=PrincipalKind.PERSON, namespace=subject.namespace, name=actor.name, proof=proof
        )
        asked = Asked(principal=person, operation=OPERATIONS[operation], message=order)
        return authorized(self._means, asked, lambda verdict, request: self._refused(verdict, request, agent))

    def _transaction(self, asked: Exchange, principal: Principal, binding: Binding | None) -> Exchanged:
        """A transaction token of an action of the agent's own task, which names the key it was asked with."""
        if asked.target != self._tokens.issuing.domain:
            words = f"a transaction token is for the trust domain `{self._tokens.issuing.domain}`"
            raise TargetUnknownError(words, where="audience")
        name, content = parse_request_details(asked.request_details)
        task, held = asked.subject, None
        if asked.subject_type == ACCESS_TOKEN:
            with self._told(principal, asked.subject):
                subject = self._verification.verify_subject(
                    asked.subject, namespace=principal.namespace
                ).token
            if subject.form is not TokenForm.TASK or subject.agent != principal.name:
                raise NotOpenError(f"`{name}` is no open action of that task")
            require_as_firm(binding, subject.binding)  # 5
            task, held = subject.task, subject
        with self._means.store.read() as snapshot:
            action = snapshot.actions.action(principal.namespace, name)
        if action is None or action.task != task:
            raise NotOpenError(f"`{name}` is no open action of that task")
        if not is_afar(action.connection):  # 9
            raise NotOpenError(f"`{name}` is permitted to a gateway, which carries it out itself")
        if asked.scope != action.tool:
            raise BadScopeError("the scope of a transaction token is the tool of its action", where="scope")
        order = TransactionTokenOrder(
            namespace=principal.namespace,
            task=task,
            agent=principal.name,
            action=name,
            content=content,
            until=until_of(principal, held),
            parent="" if held is None else held.id,
            binding=binding,
        )
        issued = self._tokens.issue_transaction_token(order, actor_of(principal))
        return Exchanged(
            issued=issued,
            kind=TRANSACTION_TOKEN,
            token_type="N_A",  # noqa: S106 - no secret
            life=life_in_seconds(issued),
            scope=asked.scope,
            task=task,
        )

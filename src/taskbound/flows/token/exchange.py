"""Token exchange (RFC 8693) for an authenticated agent.

- The subject is the agent's own task by name, a task token of any agent, or a person's token. Its `aud` is
  our issuer, so a resource cannot pass on a token it was shown, and its holder must have meant this agent
  (`require_meant`).
- Another agent's task token gives one of a child task, narrower and never longer. The receiving agent's owner
  must be in charge of the task: its requester or owner of the first agent.
- A person's token gives one of a task started in their name from the named template, under their rights and
  the rules about `task:start` and `task:delegate`. These rules read the longest time that can be granted, so
  `seconds` cannot be evaded by omission.
- The token is bound to this request's key, at least as firmly as its subject. It ends no later than its
  subject and the agent's proof. Tools that only a gateway carries out get no transaction token (law 2).
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

from taskbound.core.clock import Instant, seconds
from taskbound.core.decision.hold import is_network_holder
from taskbound.core.errors import DeniedError, MalformedError, TaskboundError
from taskbound.core.identity.proof import Principal, PrincipalKind, TokenProof, WorkloadProof
from taskbound.core.policy.operations import OPERATIONS
from taskbound.core.task import LIFETIME_LIMIT, NoTaskError, NotInChargeError, TaskEvent
from taskbound.core.token import (
    NEVER,
    NotOpenError,
    TaskTokenFacts,
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
from taskbound.flows.policy.operations import OperationCall, authorized, bases, hold
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
    from taskbound.flows.means import Adapters, TaskChange
    from taskbound.flows.policy.operations import AuthorizationBasis
    from taskbound.flows.token.issuing import Issued, Tokens
    from taskbound.flows.token.verifying import Verification

    Unbelieved: TypeAlias = Callable[[str, str, str, TaskboundError], None]
    """Records what is shown and worth nothing (`flows.identity.Proofs.refuse`)."""


class Starts(Protocol):
    """Starts and ends tasks (`flows.task.Tasks`)."""

    def start(self, order: TaskOrder, actor: Actor) -> Task:
        pass

    def end(
        self, namespace: str, task: str, event: TaskEvent, actor: Actor, *, reason: str
    ) -> Sequence[TaskChange]:
        pass


class Delegates(Protocol):
    """Delegates parts of tasks (`flows.task.Delegations`)."""

    def delegate(self, order: ChildOrder, actor: Actor) -> Task:
        pass


def actor_of(principal: Principal) -> Actor:
    return Actor(name=agent_name(principal.namespace, principal.name), proof=principal.proof.words)


def actor_for(person: str, subject: Token, principal: Principal) -> Actor:
    shower = agent_name(principal.namespace, principal.name)
    return Actor(name=person, proof=f"token:{subject.id} shown by {shower}")


T = TypeVar("T", TaskOrder, ChildOrder)


def within_template(adapters: Adapters, order: T) -> T:
    """Returns the order with its template's time as the upper bound."""
    with adapters.store.read() as snapshot:
        template = snapshot.tasks.template(order.namespace, order.template)
    if template is None:
        return order
    return replace(order, seconds=min(order.seconds or template.seconds, template.seconds))


def granted(adapters: Adapters, token: Token) -> dict[str, JsonValue]:
    """Returns a task token's task, with the heartbeat in seconds; raises NoTaskError."""
    with adapters.store.read() as snapshot:
        task = snapshot.tasks.task(token.namespace, token.task)
    if task is None:
        raise NoTaskError(f"no task is named `{token.task}`")
    ground = TaskTokenFacts(scope=task.scope.digest, deadline=task.deadline)
    return {**details_of(token, ground), "heartbeat": task.heartbeat, "grace": task.grace}


def until_of(principal: Principal, subject: Token | None) -> Instant:
    """Returns the earliest end of the subject token and the agent's proof."""
    ends = [] if subject is None else [subject.expires]
    if isinstance(principal.proof, WorkloadProof):
        ends.append(principal.proof.until)
    return min(ends, default=NEVER)


def life_in_seconds(issued: Issued) -> int:
    return (issued.token.expires - issued.token.issued) // seconds(1)


@contextmanager
def told_of(unbelieved: Unbelieved, principal: Principal, subject: str) -> Iterator[None]:
    """Records a refusal of the subject token within this context; nothing for an empty subject."""
    try:
        yield
    except (DeniedError, MalformedError) as error:
        if subject:
            unbelieved(principal.namespace, "token", subject, error)
        raise


class Exchanges:
    """Exchanges tokens; thread-safe, waits for the signer."""

    def __init__(  # noqa: PLR0913 - the plugs of an exchange, each by its name
        self,
        adapters: Adapters,
        *,
        tokens: Tokens,
        verification: Verification,
        tasks: Starts,
        delegations: Delegates,
        targets: Callable[[Principal], Collection[str]],
        refused: Callable[[Barred, OperationRequest, str], None],
        unbelieved: Unbelieved,
    ) -> None:
        """`targets` are resources besides our issuer; `refused` and `unbelieved` record refusals."""
        self._adapters = adapters
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
        """Returns the token that a form asks for; `binding` is the request's key."""
        with self._told(principal, "".join(form.get("subject_token", ())[:1])):
            asked = parse_exchange(form)
        require_bound(binding)
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
            details = granted(self._adapters, issued.token)
        except TaskboundError:
            if begun is not None:
                why = "no token of it could be issued"
                with suppress(TaskboundError):
                    self._tasks.end(principal.namespace, task, TaskEvent.CANCEL, begun, reason=why)
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
        if asked.subject_type == TASK_REFERENCE:
            require_no_details(asked.details)
            return asked.subject, None, None
        with self._told(principal, asked.subject):
            subject = self._verification.verify_subject(asked.subject, namespace=principal.namespace).token
            require_meant(subject, principal.name, binding)
            require_as_firm(binding, subject.binding)
        if subject.form is TokenForm.TASK and subject.agent == principal.name:
            require_no_details(asked.details)
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
            unclaimed=True,
            bounded=True,
        )
        order = within_template(self._adapters, order)
        actor = actor_for(person_of(subject), subject, principal)
        with hold(*bases(), self._require(actor, subject, "task:start", order, principal.name)):
            return self._tasks.start(order, actor).id, actor

    def _handed_on(self, asked: Exchange, principal: Principal, subject: Token) -> tuple[str, Actor]:
        details = parse_details(asked.details)
        space = principal.namespace
        with self._adapters.store.read() as snapshot:
            task = snapshot.tasks.task(space, subject.task)
            above = snapshot.identities.agent(space, subject.agent)
            mine = snapshot.identities.agent(space, principal.name)
        if task is None or above is None or mine is None:
            raise NoTaskError(f"no task is named `{subject.task}`")
        if mine.owner not in {task.requester, above.owner}:
            raise NotInChargeError(
                f"agent `{principal.name}` is `{mine.owner}`'s, who is not in charge of task `{task.id}`"
            )
        order = ChildOrder(
            namespace=space,
            parent=task.id,
            agent=principal.name,
            purpose=details.purpose,
            seconds=details.seconds,
            template=details.template,
            heartbeat=details.heartbeat,
            grace=details.grace,
            unclaimed=True,
            bounded=True,
        )
        actor, told = actor_for(task.requester, subject, principal), within_template(self._adapters, order)
        with hold(*bases(), self._require(actor, subject, "task:delegate", told, principal.name)):
            return self._delegations.delegate(order, actor).id, actor

    def _require(
        self, actor: Actor, subject: Token, operation: str, order: TaskOrder | ChildOrder, agent: str
    ) -> AuthorizationBasis:
        proof = TokenProof(token=subject.id, binding=subject.binding, task=subject.task)
        person = Principal(
            kind=PrincipalKind.PERSON, namespace=subject.namespace, name=actor.name, proof=proof
        )
        asked = OperationCall(principal=person, operation=OPERATIONS[operation], message=order)
        return authorized(
            self._adapters, asked, lambda verdict, request: self._refused(verdict, request, agent)
        )

    def _transaction(self, asked: Exchange, principal: Principal, binding: Binding | None) -> Exchanged:
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
            require_as_firm(binding, subject.binding)
            task, held = subject.task, subject
        with self._adapters.store.read() as snapshot:
            action = snapshot.actions.action(principal.namespace, name)
        if action is None or action.task != task:
            raise NotOpenError(f"`{name}` is no open action of that task")
        if not is_network_holder(action.connection):
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

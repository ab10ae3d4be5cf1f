"""Issues tokens: row and record in one transaction, then the signature (ADR 0058).

- A task token is for its agent and one audience, bound to a key unless its issuer explicitly asks for a
  bearer token. It lives 300 seconds at most, ends before its task and the agent's proof, and its actor chain
  is the task's parents.
- A transaction token is for a permitted action without outcome, requested by the holder of its task. It lives
  30 seconds at most. From its row on the action cannot be reported as not sent, unless signing failed.
- Everything read is locked and compared in the writing transaction; a stop, suspension, end or key change
  that commits first wins. A token that could not be signed is revoked.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import field, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError, TaskboundError, UnavailableError
from taskbound.core.identity import PersonState, UnknownIdentityError, require_active
from taskbound.core.revocation import require_not_stopped
from taskbound.core.task import NoTaskError, require_live
from taskbound.core.token import (
    NEVER,
    NoStatusPlaceError,
    NoTokenKeyError,
    NotOpenError,
    PersonTokenFacts,
    ServiceTokenFacts,
    TaskTokenFacts,
    Token,
    TokenForm,
    agent_name,
    chain_of,
    name_of,
    parse_life,
    require_bound,
    service_name,
)
from taskbound.flows.identity.services import require_service
from taskbound.flows.task import claim_task
from taskbound.flows.token.revoking import revoke_rows
from taskbound.flows.token.standing import OPEN, TokenReadings, action_ground, write_token
from taskbound.ports.signer import SignerUnavailableError
from taskbound.ports.store import ConflictError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskbound.core.action import JsonValue
    from taskbound.core.clock import Instant
    from taskbound.core.identity.proof import Binding
    from taskbound.flows.means import Actor, Adapters
    from taskbound.flows.token.keys import TokenKeys
    from taskbound.ports.store import Snapshot
    from taskbound.ports.token import TokenSigner


_SHA256: Final = re.compile(r"sha-256=:[A-Za-z0-9+/]{43}=:", re.ASCII)


class BadContentDigestError(MalformedError):
    """The digest of a request's content is invalid."""

    code = "bad-content-digest"
    remedy = "send `sha-256=:…:` as in `Content-Digest` (RFC 9530)"


def parse_content_digest(text: str) -> str:
    """Parses a content digest (RFC 9530), empty for none; raises BadContentDigestError."""
    if text and _SHA256.fullmatch(text) is None:
        raise BadContentDigestError("the digest of the content can't be read", where="content_digest")
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuing:
    """The names that tokens are issued under."""

    issuer: str
    """`iss`: an absolute URI without a slash at its end (RFC 8414 §2)."""
    domain: str
    """`aud` of transaction tokens: the trust domain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskTokenOrder:
    """A task token requested by an authenticated agent."""

    namespace: str
    task: str
    agent: str
    audience: str
    """The one resource that it is for."""
    binding: Binding | None
    bearer: bool = False
    """Whether the client can prove no key; only then may `binding` be None."""
    life: int = 0
    """Seconds; 0 for as many as may be."""
    until: Instant = NEVER
    """When what proved the agent ends, or the token that this one is exchanged for; 0 where nothing does."""
    parent: str = ""
    """The token that it is exchanged for."""
    begun: bool = False
    """Whether its task was begun for it: then it is claimed when the token is signed, and not before."""
    may_act: str = ""
    """The agent that it is handed on to, as tokens call it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonTokenOrder:
    """A token for operations, of a person who signed in."""

    namespace: str
    person: str
    audience: str
    binding: Binding | None
    bearer: bool = False
    life: int = 0
    until: Instant = NEVER
    acr: str = ""
    authenticated: Instant = NEVER
    parent: str = ""
    """The admission of the client that gets it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceTokenOrder:
    """A token requested by an authenticated service, for requests to us."""

    namespace: str
    service: str
    proven_by: str
    """The `kid` of the key that proved it."""
    binding: Binding | None
    """The key that it is bound to; there is no service's token without one."""
    life: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionTokenOrder:
    """A token that tells a downstream service of a permitted action."""

    namespace: str
    task: str
    """The task whose holder asks."""
    agent: str
    action: str
    content: str = ""
    """`Content-Digest` of the HTTP request that carries it out (RFC 9530); empty without one."""
    life: int = 0
    until: Instant = NEVER
    """As a task token's."""
    parent: str = ""
    """The task token that it was asked with."""
    binding: Binding | None = None
    """The caller's key, which identifies the holder downstream; None if none was shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A signed token; the only place of its text, hidden in repr."""

    token: Token
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchanged:
    """The response of the token endpoint (RFC 8693 §2.2.1)."""

    issued: Issued
    kind: str
    """`issued_token_type`."""
    token_type: str
    """`DPoP`, `Bearer` for one that is bound to a certificate, or `N_A` (RFC 9449 §5, RFC 8705 §3)."""
    life: int
    """`expires_in`."""
    scope: str
    task: str
    details: Mapping[str, JsonValue] = field(default_factory=dict)
    """What the token says of its task, with its heartbeat and grace (RFC 9396 §7); of a task token."""


_TRIES: Final = 8
_OVER: Final = frozenset({"token-ended", "task-expired"})
"""What a signer says whose clock is ahead."""


class Tokens:
    """Issues tokens; thread-safe, waits for the signer."""

    def __init__(self, adapters: Adapters, issuing: Issuing, signer: TokenSigner, keys: TokenKeys) -> None:
        self._adapters = adapters
        self._keys = keys
        self._signer = signer
        self.issuing = issuing

    def issue_task_token(self, order: TaskTokenOrder, actor: Actor) -> Issued:
        if not order.bearer:
            require_bound(order.binding)
        life = parse_life(order.life, TokenForm.TASK)

        def draft(snapshot: Snapshot) -> TokenReadings:
            token, version, deadline = self._of_task(snapshot, order.namespace, order.task, order.agent)
            task = snapshot.tasks.task(order.namespace, order.task)
            scope = task.scope.digest if task is not None else ""
            shaped = replace(
                token,
                audience=order.audience,
                binding=order.binding,
                parent=order.parent,
                may_act=order.may_act,
                list=1,
            )
            ends = (deadline, *_ends(order.until))
            ground = TaskTokenFacts(scope=scope, deadline=deadline)
            return TokenReadings(
                token=shaped,
                ground=ground,
                life=life,
                ends=ends,
                agent=version[0],
                task=version[1],
                claims=not order.begun,
            )

        issued = self._issue(order.namespace, draft, actor)
        if order.begun:
            claim_task(self._adapters, order.namespace, order.task)
        return issued

    def issue_person_token(self, order: PersonTokenOrder, actor: Actor) -> Issued:
        if not order.bearer:
            require_bound(order.binding)
        life = parse_life(order.life, TokenForm.PERSON)

        def draft(snapshot: Snapshot) -> TokenReadings:
            _require_present(snapshot, order.namespace, order.person)
            token = self._blank(
                order.namespace, TokenForm.PERSON, name_of("person", order.namespace, order.person)
            )
            shaped = replace(
                token,
                audience=order.audience,
                binding=order.binding,
                acr=order.acr,
                authenticated=order.authenticated,
                parent=order.parent,
                list=1,
            )
            return TokenReadings(token=shaped, ground=PersonTokenFacts(), life=life, ends=_ends(order.until))

        return self._issue(order.namespace, draft, actor)

    def issue_service_token(self, order: ServiceTokenOrder, actor: Actor) -> Issued:
        """Issues a service's token for our issuer only; raises as `issue_task_token`."""
        require_bound(order.binding)
        life = parse_life(order.life, TokenForm.SERVICE)

        def draft(snapshot: Snapshot) -> TokenReadings:
            require_service(snapshot, order.namespace, order.service, order.proven_by)
            token = self._blank(
                order.namespace, TokenForm.SERVICE, service_name(order.namespace, order.service)
            )
            shaped = replace(
                token,
                audience=self.issuing.issuer,
                binding=order.binding,
                proven_by=order.proven_by,
                list=1,
            )
            return TokenReadings(token=shaped, ground=ServiceTokenFacts(), life=life, ends=())

        return self._issue(order.namespace, draft, actor)

    def issue_transaction_token(self, order: TransactionTokenOrder, actor: Actor) -> Issued:
        life = parse_life(order.life, TokenForm.TRANSACTION)
        parse_content_digest(order.content)

        def draft(snapshot: Snapshot) -> TokenReadings:
            token, version, deadline = self._of_task(snapshot, order.namespace, order.task, order.agent)
            action = snapshot.actions.action(order.namespace, order.action)
            if (
                action is None
                or action.state not in OPEN
                or (action.task, action.agent) != (order.task, order.agent)
            ):
                raise NotOpenError(f"`{order.action}` is no open action of that task")
            shaped = replace(
                token,
                form=TokenForm.TRANSACTION,
                audience=self.issuing.domain,
                action=order.action,
                content=order.content,
                parent=order.parent,
                binding=order.binding,
            )
            return TokenReadings(
                token=shaped,
                ground=action_ground(snapshot, action, order.parent),
                life=life,
                ends=(deadline, *_ends(action.until), *_ends(order.until)),
                agent=version[0],
                task=version[1],
            )

        return self._issue(order.namespace, draft, actor)

    def _blank(self, namespace: str, form: TokenForm, subject: str) -> Token:
        return Token(
            namespace=namespace,
            id=self._adapters.chance.name("tok"),
            form=form,
            issuer=self.issuing.issuer,
            subject=subject,
            actors=(),
            audience="",
            binding=None,
            issued=NEVER,
            expires=NEVER,
            key="",
        )

    def _of_task(
        self, snapshot: Snapshot, namespace: str, task: str, agent: str
    ) -> tuple[Token, tuple[int, int], Instant]:
        now = self._adapters.clock.now()
        require_not_stopped(snapshot.revocation.kill_switch(namespace))
        found = snapshot.identities.agent(namespace, agent)
        if found is None:
            raise UnknownIdentityError(f"no agent is named `{agent}`")
        require_active(found, snapshot.identities.persons(namespace))
        line = snapshot.tasks.lineage(namespace, task)
        if not line or line[0].agent != agent:
            raise NoTaskError(f"the task `{task}` does not belong to agent `{agent}`")
        require_live(task, snapshot.tasks.heads(namespace, {task}), now)
        subject = name_of("person", namespace, line[0].requester)
        actors = chain_of([agent_name(namespace, one.agent) for one in line], subject)
        token = replace(
            self._blank(namespace, TokenForm.TASK, subject), actors=actors, task=task, agent=agent
        )
        return token, (found.version, line[0].version), min(one.deadline for one in line)

    def _issue(self, namespace: str, draft: Callable[[Snapshot], TokenReadings], actor: Actor) -> Issued:
        tended = False
        for _ in range(_TRIES):
            with self._adapters.store.read() as snapshot:
                drawn = draft(snapshot)
            try:
                token = self._adapters.store.write(partial(write_token, self._adapters, drawn, actor))
            except ConflictError:
                continue
            except NoTokenKeyError:
                if tended:
                    raise
                self._keys.tend()
                tended = True
                continue
            return Issued(token=token, text=self._signed(namespace, token, actor))
        raise NoStatusPlaceError("what the token rests on kept changing, or its status list is full")

    def _signed(self, namespace: str, token: Token, actor: Actor) -> str:
        try:
            return self._signer.sign_token(namespace, token.id)
        except TaskboundError as error:
            why = f"it could not be signed: {error.message}"
            with suppress(UnavailableError):  # its text was never given out, so the row is void
                self._adapters.store.write(
                    lambda tx: revoke_rows(tx, self._adapters, [token], why=why, actor=actor, unsigned=True)
                )
            if error.code in _OVER and self._adapters.clock.now() < token.expires:
                raise SignerUnavailableError(
                    "the signer takes a token for over that was just written: its clock is ahead of ours",
                    remedy="set the clocks of both by one source of time, and ask again",
                ) from error
            raise


def _ends(until: Instant) -> tuple[Instant, ...]:
    return () if until == NEVER else (until,)


def _require_present(snapshot: Snapshot, namespace: str, name: str) -> None:
    person = snapshot.identities.person(namespace, name)
    if person is None or person.state is not PersonState.PRESENT:
        raise UnknownIdentityError(f"no person is named `{name}`")

"""Operations of OAuth's endpoints: a token by exchange, its worth, giving it back, and what is published.

1. Who asks is the agent or the service that the form proved (`client_proof`), on its own seat (`network`).
2. An exchange waits for the signer beside the worker. A task that it begins is begun in the worker's thread,
   as every one is, and ended there when no token of it could be issued, whatever the rules say by then.
3. A client is told what a token is worth that was issued to it, and gives back no other (A157). A service is
   told of those that are meant for it too (`flows.token.serving`).
4. What is published is read in the name of the process that faces the network; nobody's rights matter. Of
   those who ask for a status list at once one has it signed, and one list is signed at a time: strangers who
   ask keep one thread from others, however slow the signer is.
"""

from __future__ import annotations

import asyncio
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from taskbound.core.action import canonical
from taskbound.core.clock import seconds
from taskbound.core.identity import UnprovenError
from taskbound.core.identity.proof import BindingKind, PrincipalKind
from taskbound.core.token.exchange import BadExchangeError
from taskbound.flows.means import Actor
from taskbound.flows.token import Exchanges, resource_of
from taskbound.flows.token.services import (
    SCOPE,
    give_service_token,
    introspect_for_service,
    require_fit_grant,
)
from taskbound.surfaces.api.authority import apart, at_once
from taskbound.surfaces.api.client import client_name
from taskbound.wire import authorization as wire
from taskbound.wire.connection import Done

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from taskbound.core.errors import TaskboundError
    from taskbound.core.identity.proof import Principal
    from taskbound.core.policy.operation import Barred, OperationRequest
    from taskbound.core.task import Task, TaskEvent
    from taskbound.flows.means import Moved
    from taskbound.flows.task import ChildOrder, TaskOrder
    from taskbound.flows.token import Issued
    from taskbound.surfaces.api.connection import Connection
    from taskbound.surfaces.api.daemon import Daemon
    from taskbound.wire.envelope import Answer


class _InWorker:
    """Begins tasks, and records refusals, in the worker's thread, for threads that may wait (rule 2)."""

    def __init__(self, daemon: Daemon) -> None:
        """Work for this daemon."""
        self._daemon = daemon

    def start(self, order: TaskOrder, actor: Actor) -> Task:
        """The task, running."""
        return self._wait(lambda: self._daemon.tasks.start(order, actor))

    def delegate(self, order: ChildOrder, actor: Actor) -> Task:
        """The child, running."""
        return self._wait(lambda: self._daemon.delegations.delegate(order, actor))

    def end(
        self, namespace: str, task: str, event: TaskEvent, actor: Actor, *, reason: str
    ) -> Sequence[Moved]:
        """End the task and all beneath it, outside of what the operation is authorized by."""
        daemon = self._daemon

        async def ended() -> Sequence[Moved]:
            changed = await daemon.first(
                lambda: daemon.tasks.end(namespace, task, event, actor, reason=reason)
            )
            daemon.tell_ended(changed)
            return changed

        return Context().run(asyncio.run_coroutine_threadsafe, ended(), daemon.loop).result()

    def refused(self, verdict: Barred, request: OperationRequest, agent: str) -> None:
        """Record what the rules refused, outside of what the operation is authorized by."""
        daemon = self._daemon
        work = partial(daemon.authority.record, verdict, request, agent=agent)
        Context().run(asyncio.run_coroutine_threadsafe, daemon.first(work), daemon.loop).result()

    def unbelieved(self, namespace: str, form: str, shown: str, error: TaskboundError) -> None:
        """Record what was shown and is worth nothing, outside of what the operation is authorized by."""
        Context().run(self._daemon.proofs.refuse, namespace, form, shown, error)

    def _wait(self, work: Callable[[], Task]) -> Task:
        daemon = self._daemon
        return asyncio.run_coroutine_threadsafe(daemon.first(work), daemon.loop).result()


def exchanges(daemon: Daemon) -> Exchanges:
    """What exchanges tokens in a daemon: for our own issuer, and for the agent's own gateway."""
    worker = _InWorker(daemon)
    return Exchanges(
        daemon.means,
        tokens=daemon.token.issuing,
        verification=daemon.token.verification,
        tasks=worker,
        delegations=worker,
        targets=partial(_targets, daemon),
        refused=worker.refused,
        unbelieved=worker.unbelieved,
    )


def _targets(daemon: Daemon, principal: Principal) -> tuple[str, ...]:
    """The resources that an agent can have tokens for: its own gateway, and services of its namespace."""
    with daemon.means.store.read() as snapshot:
        services = snapshot.services.services(principal.namespace)
    own = resource_of(daemon.network.gateway_origin, principal.name)
    return (own, *(one.audience for one in services))


async def ask_token(daemon: Daemon, seat: Connection, ask: wire.AskToken) -> Answer:
    """A token by exchange, or for what a client of people brings (`client_grants`)."""
    principal = _client(seat)
    told = dict(ask.form)
    if told.get("grant_type") in wire.PUBLIC:
        return await daemon.network.grants.give(principal.namespace, told, seat.binding)
    if told.get("grant_type") == wire.CREDENTIALS:
        give = partial(give_service_token, daemon.token.issuing, told, principal, seat.binding)
        return _given_to_service(await apart(give))
    require_fit_grant(principal, service=False)
    form = {name: (value,) for name, value in ask.form}
    found = await apart(partial(daemon.exchanges.exchange, form, principal, seat.binding))  # 2
    return wire.TokenGiven(
        access_token=found.issued.text,
        issued_token_type=found.kind,
        token_type=found.token_type,
        expires_in=found.life,
        scope=found.scope,
        authorization_details=(msgspec.convert(found.details, wire.GrantedTask),) if found.details else (),
    )


def _given_to_service(issued: Issued) -> wire.TokenGiven:
    token = issued.token
    dpop = token.binding is not None and token.binding.kind is BindingKind.DPOP
    return wire.TokenGiven(
        access_token=issued.text,
        token_type="DPoP" if dpop else "Bearer",
        expires_in=(token.expires - token.issued) // seconds(1),
        scope=SCOPE,
    )


async def introspect(daemon: Daemon, seat: Connection, ask: wire.IntrospectToken) -> Answer:
    """What a token is worth (rule 3)."""
    principal = _client(seat)
    client = client_name(principal)
    text = _token(dict(ask.form))

    def read() -> Answer:
        if principal.kind is PrincipalKind.SERVICE:
            worth = introspect_for_service(daemon.means, daemon.token.verification, principal, text)
            return wire.Introspected(claims=canonical(worth).decode())
        found = daemon.token.verification.introspect(text, client=client, audiences=())
        return wire.Introspected(claims=canonical(found).decode())

    return await daemon.read(read)


async def give_back(daemon: Daemon, seat: Connection, ask: wire.GiveBackToken) -> Answer:
    """Revoke a token that was issued to who asks (rule 3), or end what a client was let in to."""
    principal = _client(seat)
    if principal.is_process:
        await daemon.network.grants.take_back(principal.namespace, dict(ask.form), daemon.token.verification)
        return Done()
    client = client_name(principal)
    actor = Actor(name=client, proof=principal.proof.words)
    text = _token(dict(ask.form))
    await at_once(partial(daemon.token.verification.revoke, text, client=client, actor=actor))
    return Done()


async def show_keys(daemon: Daemon, _seat: Connection, _ask: wire.ShowTokenJwks) -> Answer:
    """The keys that verify tokens (rule 4)."""
    found = await daemon.read(daemon.token.published.keys)
    return wire.Published(text=found.decode())


async def show_status_list(daemon: Daemon, _seat: Connection, ask: wire.ShowStatusList) -> Answer:
    """A status list token (rule 4)."""
    flights = daemon.token.flights
    flight = flights.get(ask.number)
    if flight is None:
        flight = flights[ask.number] = daemon.loop.create_task(_signed_list(daemon, ask.number))
        flight.add_done_callback(lambda _: flights.pop(ask.number, None))
    return wire.Published(text=await asyncio.shield(flight))


async def _signed_list(daemon: Daemon, number: int) -> str:
    async with daemon.token.turn:
        return await apart(partial(daemon.token.published.status_list, number))


def _client(seat: Connection) -> Principal:
    """Who asks (rule 1).

    Raises:
        UnprovenError: The form came by another way than the network's.
    """
    if seat.principal is None or not seat.client:
        raise UnprovenError("a form of OAuth is asked over the network, by the client that it proves")
    return seat.principal


def _token(form: Mapping[str, str]) -> str:
    """The token that a form is about.

    Raises:
        BadExchangeError: It names none.
    """
    text = form.get("token", "")
    if not text:
        raise BadExchangeError("`token` stands once", where="token")
    return text

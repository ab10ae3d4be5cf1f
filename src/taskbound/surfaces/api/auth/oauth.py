"""Operations of OAuth's endpoints: exchange, introspection, revocation, published keys and lists.

1. The caller is the agent or service that the form proved (`client_proof`), on its own seat (`network`).
2. An exchange waits for the signer beside the worker. A task that it starts is started in the worker's
   thread, and ended there if no token could be issued, whatever the rules then say.
3. A client may introspect and revoke tokens that were issued to it only (A157). A service may introspect
   tokens with itself as the audience too (`flows.token.serving`).
4. Publications need no rights. A status list is signed once for all concurrent readers, one list at a time,
   so that strangers occupy one thread at most.
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
from taskbound.surfaces.api.auth.authority import apart, at_once
from taskbound.surfaces.api.auth.client import client_name
from taskbound.surfaces.api.server.operation import operation
from taskbound.wire import authorization as wire
from taskbound.wire.connection import Done

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from taskbound.core.errors import TaskboundError
    from taskbound.core.identity.proof import Principal
    from taskbound.core.policy.operation import Barred, OperationRequest
    from taskbound.core.task import Task, TaskEvent
    from taskbound.flows.means import TaskChange
    from taskbound.flows.task import ChildOrder, TaskOrder
    from taskbound.flows.token import Issued
    from taskbound.surfaces.api.server.connection import Connection
    from taskbound.surfaces.api.server.daemon import Daemon
    from taskbound.wire.envelope import Answer


class _InWorker:
    """Starts tasks and records refusals in the worker's thread, for threads that may wait (rule 2)."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def start(self, order: TaskOrder, actor: Actor) -> Task:
        return self._wait(lambda: self._daemon.tasks.start(order, actor))

    def delegate(self, order: ChildOrder, actor: Actor) -> Task:
        return self._wait(lambda: self._daemon.delegations.delegate(order, actor))

    def end(
        self, namespace: str, task: str, event: TaskEvent, actor: Actor, *, reason: str
    ) -> Sequence[TaskChange]:
        """Ends the task and its children, independent of the authorization of the operation."""
        daemon = self._daemon

        async def ended() -> Sequence[TaskChange]:
            changed = await daemon.first(
                lambda: daemon.tasks.end(namespace, task, event, actor, reason=reason)
            )
            daemon.tell_ended(changed)
            return changed

        return Context().run(asyncio.run_coroutine_threadsafe, ended(), daemon.loop).result()

    def refused(self, verdict: Barred, request: OperationRequest, agent: str) -> None:
        """Records a refusal by the rules, independent of the authorization of the operation."""
        daemon = self._daemon
        work = partial(daemon.authority.record, verdict, request, agent=agent)
        Context().run(asyncio.run_coroutine_threadsafe, daemon.first(work), daemon.loop).result()

    def unbelieved(self, namespace: str, form: str, shown: str, error: TaskboundError) -> None:
        """Records a void token or proof, independent of the authorization of the operation."""
        Context().run(self._daemon.proofs.refuse, namespace, form, shown, error)

    def _wait(self, work: Callable[[], Task]) -> Task:
        daemon = self._daemon
        return asyncio.run_coroutine_threadsafe(daemon.first(work), daemon.loop).result()


def exchanges(daemon: Daemon) -> Exchanges:
    """Returns the token exchange of a daemon, for our own issuer and the agent's own gateway."""
    worker = _InWorker(daemon)
    return Exchanges(
        daemon.adapters,
        tokens=daemon.token.issuing,
        verification=daemon.token.verification,
        tasks=worker,
        delegations=worker,
        targets=partial(_targets, daemon),
        refused=worker.refused,
        unbelieved=worker.unbelieved,
    )


def _targets(daemon: Daemon, principal: Principal) -> tuple[str, ...]:
    """Returns the audiences that an agent may request: its own gateway and services of its namespace."""
    with daemon.adapters.store.read() as snapshot:
        services = snapshot.services.services(principal.namespace)
    own = resource_of(daemon.network.gateway_origin, principal.name)
    return (own, *(one.audience for one in services))


@operation(wire.AskToken)
async def _ask_token(daemon: Daemon, seat: Connection, ask: wire.AskToken) -> Answer:
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


@operation(wire.IntrospectToken)
async def _introspect(daemon: Daemon, seat: Connection, ask: wire.IntrospectToken) -> Answer:
    principal = _client(seat)
    client = client_name(principal)
    text = _token(dict(ask.form))

    def read() -> Answer:
        if principal.kind is PrincipalKind.SERVICE:
            worth = introspect_for_service(daemon.adapters, daemon.token.verification, principal, text)
            return wire.Introspected(claims=canonical(worth).decode())
        found = daemon.token.verification.introspect(text, client=client, audiences=())
        return wire.Introspected(claims=canonical(found).decode())

    return await daemon.read(read)


@operation(wire.GiveBackToken)
async def _give_back(daemon: Daemon, seat: Connection, ask: wire.GiveBackToken) -> Answer:
    """Revokes a token that was issued to the caller (rule 3), or ends an admission of a client."""
    principal = _client(seat)
    if principal.is_process:
        await daemon.network.grants.take_back(principal.namespace, dict(ask.form), daemon.token.verification)
        return Done()
    client = client_name(principal)
    actor = Actor(name=client, proof=principal.proof.words)
    text = _token(dict(ask.form))
    await at_once(partial(daemon.token.verification.revoke, text, client=client, actor=actor))
    return Done()


@operation(wire.ShowTokenJwks)
async def _show_keys(daemon: Daemon, _seat: Connection, _ask: wire.ShowTokenJwks) -> Answer:
    found = await daemon.read(daemon.token.published.keys)
    return wire.Published(text=found.decode())


@operation(wire.ShowStatusList)
async def _show_status_list(daemon: Daemon, _seat: Connection, ask: wire.ShowStatusList) -> Answer:
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
    if seat.principal is None or not seat.client:
        raise UnprovenError("a form of OAuth is asked over the network, by the client that it proves")
    return seat.principal


def _token(form: Mapping[str, str]) -> str:
    text = form.get("token", "")
    if not text:
        raise BadExchangeError("`token` stands once", where="token")
    return text

"""The daemon as its operations see it: the flows, the worker and the connections."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from taskbound.core.errors import TaskboundError
from taskbound.core.identity import UnprovenError
from taskbound.core.task import TaskEndedError
from taskbound.flows.action import Outcomes
from taskbound.flows.approval import Approvals
from taskbound.flows.approval.answers import Plans
from taskbound.flows.approval.limits import tell_paused
from taskbound.flows.decision import Call, Decisions, Narrowings, Planning, Refusals, Views
from taskbound.flows.identity import Agents, Deliveries, require_person
from taskbound.flows.means import Actor, SharedSnapshot
from taskbound.flows.policy import Bundles
from taskbound.flows.policy.operations import with_held_store
from taskbound.flows.revocation import Feed
from taskbound.flows.target import Targets
from taskbound.flows.task import Changes, Delegations, Tasks, Watch, Widenings, follow, keep_account
from taskbound.flows.token.services import SharedClaims
from taskbound.flows.tool import PinComparison, Pins
from taskbound.flows.tool.secret import Secrets
from taskbound.surfaces.api.auth.authority import Authority, again
from taskbound.surfaces.api.auth.fronts import proof_of, task_of
from taskbound.surfaces.api.auth.network import Network
from taskbound.surfaces.api.auth.oauth import exchanges
from taskbound.surfaces.api.auth.showing import proving
from taskbound.surfaces.api.background.looking import OperandLookups
from taskbound.surfaces.api.background.strangers import OrphanedHolders, ProcessTree
from taskbound.surfaces.api.operations.audit import LogComparison
from taskbound.surfaces.api.operations.broker import ReportBatcher
from taskbound.surfaces.api.operations.credential import CredentialDesk
from taskbound.surfaces.api.operations.feed import FeedNews
from taskbound.surfaces.api.operations.target import Discoveries
from taskbound.surfaces.api.operations.token import TokenFlows
from taskbound.surfaces.api.operations.workload import Sources
from taskbound.surfaces.api.page import Pages
from taskbound.surfaces.api.server.connection import Connections
from taskbound.surfaces.api.server.peer import boot_id, is_alive
from taskbound.surfaces.api.server.place import Installation, NotOutsideError
from taskbound.surfaces.api.server.worker import (
    CallTurns,
    Lane,
    OverloadedError,
    WaitingCall,
    Worker,
    do_all,
    is_small_call,
    is_small_report,
)
from taskbound.wire.approval import HoldPush
from taskbound.wire.connection import TaskPush

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from taskbound.core.identity.proof import WorkloadKind
    from taskbound.flows.action import Release, Report, Withhold
    from taskbound.flows.approval import QuestionUpdate
    from taskbound.flows.approval.look import NeedsProbe
    from taskbound.flows.audit.sequencing import Sequencer
    from taskbound.flows.decision import Answer
    from taskbound.flows.means import Adapters, TaskChange
    from taskbound.ports.identity import Custody, RelyingParty, Verifier
    from taskbound.ports.task import Run
    from taskbound.ports.token import TokenSigner
    from taskbound.surfaces.api.server.connection import Connection


T = TypeVar("T")
_log = logging.getLogger(__name__)
AGAIN: Final = 1.0
"""Seconds until it is tried again to record what became of a lost gateway's permits."""


class Daemon:
    """Everything that operations work with; constructed in `wiring`."""

    def __init__(  # noqa: PLR0913, PLR0917 - the plugs of a daemon
        self,
        adapters: Adapters,
        sequencer: Sequencer,
        signer: TokenSigner,
        loop: asyncio.AbstractEventLoop,
        place: Installation,
        custody: Custody | None = None,
        verifiers: Mapping[WorkloadKind, Verifier] | None = None,
        party: RelyingParty | None = None,
    ) -> None:
        self.adapters = adapters = with_held_store(adapters)
        self.sequencer, self.loop = sequencer, loop
        self.owner_uid, self._gateways = place.owner_uid, place.gateways
        self.egress_uid, self.broker_uid = place.account(place.egress), place.account(place.broker)
        self.home, self.pid = place.home, place.pid
        self.log_key = ""
        """The log's public key as a vkey; empty while the signer was not reached yet."""
        self.started, self.signer_state, self.signer_uid = adapters.clock.now(), "not asked yet", -1
        self._checkpoint, self.boot = asyncio.Event(), boot_id()
        self.feed, self.feed_news = Feed(adapters), FeedNews()
        self.connections, self.insiders = Connections(), ProcessTree(home=Path(place.home), boot=self.boot)
        self.comparing, self.pages = LogComparison(), Pages(loop)
        self.views = Views(adapters.store)
        self.strangers = OrphanedHolders(adapters.store, self.views.doubts, adapters.daemon)
        self.deliveries = Deliveries(adapters)
        self.tasks = Tasks(adapters, self.views, self.deliveries)
        self.changes = Changes(adapters, self.views)
        self.watch = Watch(adapters, self.views)
        self.delegations = Delegations(adapters, self.deliveries)
        self.agents = Agents(adapters, self.views)
        made = proving(adapters, place, custody, verifiers or {}, party)
        self.agent_keys, self.proofs, self.sign_ins = made
        self.token, self.shared_claims = TokenFlows(adapters, place.issuing, signer), SharedClaims(adapters)
        self.exchanges = exchanges(self)
        self.pins = Pins(adapters, self.views)
        self.sights = PinComparison(adapters, self.views)
        self.secrets, self.targets = Secrets(adapters), Targets(adapters, self.views)
        self.trusts, self.egress_wanted, self.broker_wanted = Sources(), threading.Event(), threading.Event()
        self.bundles = Bundles(adapters, self.views)
        self.approvals, self.plans = Approvals(adapters), Plans(adapters)
        self.widenings = Widenings(adapters, self.views)
        self.decisions = Decisions(adapters, self.views)
        self.narrowings = Narrowings(adapters, self.views)
        self.planning = Planning(adapters, self.views)
        self.refusals = Refusals(adapters, self.views, self.decisions, place.allowance)
        self.outcomes = Outcomes(adapters, self.refusals)
        self.authority = Authority(self)
        self.worker = worker = Worker(loop)
        self._first: Lane[Callable[[], None], None] = Lane(worker, do_all)
        self.turns = CallTurns(self.outcomes.record, self.tell_held_soon)
        self.reports: Lane[Report, Release | Withhold] = Lane(
            worker, self.turns.record, small=is_small_report
        )
        self.calls: Lane[WaitingCall, Answer | NeedsProbe] = Lane(worker, self._decide, small=is_small_call)
        self.tellings = ReportBatcher(adapters, worker)
        self.network = Network(adapters, worker, place, self.token.issuing, self.tasks, self.views.doubts)
        self.looking, self.credentials = OperandLookups(adapters, loop), CredentialDesk(self)
        self.discoveries = Discoveries(loop)

    async def first(self, work: Callable[[], T]) -> T:
        """Runs work in the worker's thread before waiting calls, and returns its result.

        Within an operation it is authorized again right before.
        """
        results: list[T] = []
        errors: list[Exception] = []
        authorized = again()

        def do() -> None:
            try:
                results.append(authorized(work))
            except Exception as error:  # noqa: BLE001 - passed on to the awaiting caller
                errors.append(error)

        await self._first.put(do)
        if errors:
            raise errors[0]
        return results[0]

    async def read(self, work: Callable[[], T]) -> T:
        """Runs reading work beside the loop and returns its result."""
        return await asyncio.to_thread(work)

    def require_person(self, connection: Connection) -> Actor:
        """Returns the person of a connection; raises UnprovenError or NotOutsideError."""
        self.require_outside(connection)
        return self.identify(connection)

    def require_giver(self, connection: Connection) -> tuple[Actor, bool]:
        """Returns the actor that sets grantable scopes, and whether its account owns the data directory.

        Raises UnprovenError for any other account, and NotOutsideError beneath a gateway or a run.
        """
        self.require_outside(connection)
        proof = connection.peer.proof
        owns = proof.uid == self.owner_uid
        try:
            return self.identify(connection), owns
        except UnprovenError:
            if not owns:
                raise
            return Actor(name=f"uid:{proof.uid}", proof=proof.words), owns

    def require_outside(self, connection: Connection, *, front: bool = False) -> None:
        """Raises NotOutsideError for a process beneath a gateway, a run or an egress.

        An egress process itself and the servers that it starts are outside. With `front`, a process that is a
        front already is judged by its ancestors only, because its gateways are itself.
        """
        ancestry = connection.peer.ancestry
        if front and ancestry[0] in self.connections.fronts():
            ancestry = ancestry[1:]
        outside = self._roots().union(self.insiders.seen).isdisjoint(ancestry)
        if not outside or not self.connections.egress_processes().isdisjoint(ancestry[1:]):
            self.insiders.note(ancestry[:1])
            raise NotOutsideError(
                "this is a person's act, and it was asked for from beneath a gateway, a run or an egress"
            )

    def look_inside(self) -> None:
        """Reads the processes beneath runs, gateways and egress, so that they stay known as such."""
        houses = self.connections.egress_processes()
        runs = frozenset((run.pid, run.started) for run in self.runs())
        self.insiders.look(self._roots() | houses, apart=self.connections.fronts() | houses, runs=runs)

    @property
    def agent_accounts(self) -> frozenset[int]:
        """Returns accounts under which an agent may run: the daemon's own and those of gateways."""
        return self.gateway_accounts | {self.owner_uid}

    @property
    def gateway_accounts(self) -> frozenset[int]:
        """Returns accounts under which gateways run or may run; used in the loop."""
        gateways = {one.peer.proof.uid for one in self.connections.gateways(lost=True)}
        return frozenset({*gateways, *(uid for uid, _, _ in self._gateways)})

    def _roots(self) -> frozenset[tuple[int, int]]:
        """Returns (pid, start time) of every run and gateway."""
        runs = {(run.pid, run.started) for run in self.runs()}
        return frozenset(runs | {one.peer.ancestry[0] for one in self.connections.gateways(lost=True)})

    def require_run(self, connection: Connection, task: str) -> Actor:
        """Returns the registered run of this task, or a person outside; else raises DeniedError."""
        own = connection.peer.ancestry[:1]
        for run in self.runs():
            if run.namespace == connection.namespace and run.task == task and (run.pid, run.started) in own:
                return self.identify(connection)
        return self.require_person(connection)

    def identify(self, connection: Connection) -> Actor:
        """Returns the person of the account or of the shown token; else raises UnprovenError."""
        if connection.principal is not None:
            return self.network.require_person(connection.principal)
        return require_person(
            self.adapters, connection.namespace, connection.peer.proof, owner_uid=self.owner_uid
        )

    def require_speaker(self, connection: Connection) -> None:
        """Raises UnprovenError unless the account is a person's or owns the data directory."""
        if connection.peer.proof.uid != self.owner_uid:
            self.identify(connection)

    def require_welcome(self, connection: Connection) -> None:
        """Raises UnprovenError unless the account may speak here or runs this agent's gateway."""
        uid = connection.peer.proof.uid
        if connection.role == "gateway" and (uid, connection.namespace, connection.agent) in self._gateways:
            return
        try:
            self.require_speaker(connection)
        except UnprovenError as error:
            if connection.role != "gateway":
                raise
            raise UnprovenError(
                f"the account with uid {uid} may run no gateway of agent `{connection.agent}`",
                remedy="run it under a person's account, or name it where the daemon is started: see deploy/",
            ) from error

    def require_gateway(self, connection: Connection) -> None:
        """Raises UnprovenError unless this is a gateway or showed a task's token over a network."""
        if connection.role != "gateway" and not connection.token:
            raise UnprovenError("only a gateway asks for actions, and an agent with a token of its task")

    def require_asker(self, connection: Connection) -> None:
        """Like `require_gateway`, and accepts an egress connection bound to a task (`injecting`)."""
        if connection.role != "egress" or not connection.agent:
            self.require_gateway(connection)

    def bind(self, connection: Connection, one_look: SharedSnapshot | None = None) -> str:
        """Returns the task of the connection and binds it if it had none; runs in the worker's thread.

        Raises DeniedError if there is no task, or the end of the last one has to be delivered first.
        """
        if connection.token:
            return connection.seat  # what it is worth is looked at where it is acted on
        if connection.task and not connection.seat:
            return connection.task
        if (ending := connection.take_ending()) is not None:
            raise ending
        if connection.role == "egress":  # it has the one task that it asks for, and finds none (`injecting`)
            raise TaskEndedError("the task of this connection has ended")
        with nullcontext(one_look) if one_look is not None else SharedSnapshot(self.adapters.store) as look:
            task = task_of(self, connection, look)
        if connection.task != task.id:
            if connection.last not in {"", task.id}:
                follow(
                    self.adapters, task, connection.last, connection=connection.name, proof=connection.proof
                )
            keep_account(self.adapters, task, connection.peer.proof.uid)
            connection.task = task.id
        return task.id

    def tell_ended(self, changes: Sequence[TaskChange]) -> None:
        """Notifies the connections of these tasks; runs in the loop."""
        self.credentials.moved(changes)
        for change in changes:
            state = change.state.value
            for connection in self.connections.of_task(change.task):
                connection.push(TaskPush(task=change.task, state=state, reason=change.reason))
                if state not in {"paused", "running"}:
                    words = f"the task has ended ({state}{f': {change.reason}' if change.reason else ''})"
                    connection.leave(change.task, words)

    def tell_held_soon(self, told: Sequence[QuestionUpdate]) -> None:
        """Notifies callers of held actions; runs in the worker's thread."""
        self.loop.call_soon_threadsafe(self.tell_held, told)

    def tell_held(self, told: Sequence[QuestionUpdate]) -> None:
        """Notifies callers of held actions; runs in the loop."""
        for one in told:
            connection = self.connections.of_name(one.connection)
            if connection is not None:
                push = HoldPush(action=one.action, state=one.state.value, reason=one.reason)
                connection.push(push)

    def lose(self, connection: Connection) -> None:
        """Marks the permits of a lost gateway as in doubt, and unknown after its grace; runs in the loop."""
        self.views.doubts.lose((connection.namespace, connection.name))
        self.connections.lose(connection)

    def join(self, connection: Connection) -> None:
        """Takes a new connection, or one whose holder is back; runs in the loop."""
        self.connections.add(connection)
        if connection.role == "gateway":
            self.views.doubts.settle((connection.namespace, connection.name))
            self.strangers.meet((connection.namespace, connection.name))
        elif connection.role == "broker":
            self.credentials.greet(connection)

    def name_of(self, start: str) -> str:
        """Returns the full name for a connection name's first part, of a lost or a new one.

        Runs in the loop.
        """
        back = next((name for name in self.connections.names() if name.startswith(start)), "")
        return back or self.strangers.name_of(start) or f"{start}{self.adapters.daemon}"

    def give_up(self, connection: Connection) -> None:
        """Records the open permits of a lost gateway as unknown after its grace; runs in the loop."""
        if self.connections.forget(connection):
            self.credentials.give_up(connection)
            self._give_up((connection.namespace, connection.name), "its gateway was lost")

    def begin(self) -> None:
        """Announces this daemon, and doubts what others left until their gateways are back.

        Runs at the start.
        """
        self.strangers.attend()
        self.strangers.see(self.strangers.find(), frozenset())
        self.network.afar.see(self.network.afar.find())

    async def see_strangers(self) -> None:
        """Gives up what other daemons left behind, once seen twice; runs in the loop."""
        found = await self.read(self.strangers.find)
        for holder in self.strangers.see(found, self.connections.names()):
            self._give_up(holder, "its daemon has ended, and its gateway did not come back")
        for holder in self.network.afar.see(await self.read(self.network.afar.find)):
            self._give_up(holder, "its agent told no outcome in time, or did not come back for it")

    def _give_up(self, holder: tuple[str, str], reason: str) -> None:
        """Records what a holder held as unknown, with retries; until then it stays in doubt."""
        errors: list[TaskboundError] = []

        def work() -> None:
            try:
                self.outcomes.lose(holder[0], connection=holder[1], reason=reason)
                self.approvals.leave(holder[0], holder[1], reason=reason)
            except TaskboundError as error:
                errors.append(error)
            else:
                self.views.doubts.settle(holder)

        def look(_: object) -> None:
            for error in errors:
                _log.warning("permits of a lost gateway are not given up yet: %s", error.message)
                self.loop.call_later(AGAIN, self._give_up, holder, reason)

        try:
            self._first.put(work).add_done_callback(look)
        except OverloadedError as error:
            errors.append(error)
            look(None)

    def tell_checkpoint(self) -> None:
        """Wakes callers that wait for a checkpoint or for the log's key; runs in the loop."""
        self._checkpoint.set()
        self._checkpoint = asyncio.Event()

    async def wait_checkpoint(self, seconds: float) -> None:
        """Waits for the next checkpoint or the log's key, at most this long."""
        try:
            async with asyncio.timeout(seconds):
                await self._checkpoint.wait()
        except TimeoutError:
            return

    def bound_tasks(self) -> dict[str, list[str]]:
        """Returns, by namespace, the tasks with a bound gateway or an active agent; runs in the loop."""
        bound: dict[str, list[str]] = {}
        gateways = {(one.namespace, one.task) for one in self.connections.gateways() if one.task}
        for namespace, task in gateways | self.network.take_heard():
            bound.setdefault(namespace, []).append(task)
        return bound

    def keep_watch(self, bound: dict[str, list[str]]) -> list[TaskChange]:
        """Records heartbeats and does what is due; runs in the worker's thread."""
        self.watch.hear(bound)
        return self.watch.look()

    def end_orphans(self) -> list[TaskChange]:
        """Ends the tasks of runs that were killed; runs in the worker's thread."""
        return self.tasks.end_orphans(self.boot, is_alive)

    def runs(self) -> Sequence[Run]:
        """Returns the runs of all namespaces, also of ended tasks: their processes remain the agent's."""
        with self.adapters.store.read() as snapshot:
            return snapshot.tasks.registered(self.boot)

    def _decide(self, asked: Sequence[WaitingCall]) -> Sequence[Answer | NeedsProbe]:
        with SharedSnapshot(self.adapters.store) as one_look:
            calls = [self._call(one, one_look) for one in asked]
        answers = self.refusals.decide(calls)
        self.turns.note(answers)
        if paused := self.decisions.take_paused():
            self.loop.call_soon_threadsafe(self._tell_paused, paused)
        return answers

    def _tell_paused(self, paused: Sequence[TaskChange]) -> None:
        self.tell_ended(paused)
        try:
            self._first.put(lambda: tell_paused(self.adapters, paused))
        except OverloadedError:
            _log.warning("could not notify monitors of paused tasks: %s", [one.task for one in paused])

    def _call(self, asked: WaitingCall, one_look: SharedSnapshot) -> Call:
        connection, ask = asked.connection, asked.ask
        unbound: TaskboundError | None = None
        task, proof = connection.seat, connection.proof
        try:
            proof = proof_of(self, connection, ask.token, one_look)
            task = self.bind(connection, one_look)
        except TaskboundError as error:
            unbound = error
        return Call(
            namespace=connection.namespace,
            agent=connection.agent,
            task=task,
            unbound=unbound,
            connection=connection.name,
            request=ask.request,
            key=ask.key,
            tool=ask.tool,
            arguments=bytes(ask.arguments),
            proof=proof,
            resume=ask.resume,
            wait=ask.wait,
            sight=asked.sight,
            read=ask.read,
            token=connection.token or (ask.token if connection.seat else ""),
            watch=asked.watch,
            unwatched=asked.unwatched,
            subject=asked.subject,
            enforcing=connection.enforcing,
            recipient=ask.recipient,
        )

"""A whole Taskbound without processes, for stories: real flows and store, a clock that moves when told."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING, Any

from taskbound.adapters.approval.apart import ApartOperands
from taskbound.adapters.approval.disk import DiskOperands
from taskbound.adapters.identity.signatures import PersonSignatures
from taskbound.adapters.identity.spiffe.x509 import SpiffeSvids
from taskbound.adapters.jose import JoserfcCheck
from taskbound.adapters.policy.cedar import CedarLanguage, base_bundle
from taskbound.core.action import canonical
from taskbound.core.clock import Instant
from taskbound.core.decision import Allowance, Hold, Narrowed, Permit, Refuse, Repeated, Settled, Waiting
from taskbound.core.scope import initial_limits, parse_scope
from taskbound.core.scope.algebra import Share
from taskbound.core.tool import ServerIdentity
from taskbound.flows.action import Outcomes, Release, Report, Withhold
from taskbound.flows.approval import Approvals
from taskbound.flows.approval.answers import Plans
from taskbound.flows.approval.look import NeedsProbe, probe_remote
from taskbound.flows.audit.sequencing import LogFreshness, open_writer
from taskbound.flows.decision import Call, Decisions, Narrowings, Planning, Refusals, Views
from taskbound.flows.decision.usable import NotDecided
from taskbound.flows.identity import Agents, Deliveries, register_person
from taskbound.flows.means import Actor, Adapters
from taskbound.flows.policy import Bundles, Policies
from taskbound.flows.task import Changes, ChildOrder, Delegations, TaskOrder, Tasks, Watch, Widenings
from taskbound.flows.tool import PinComparison, Pins
from taskbound.ports.monitor import BadMonitorError, MonitorUnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskbound.core.action import JsonValue
    from taskbound.core.errors import TaskboundError
    from taskbound.core.scope import Scope
    from taskbound.core.task import Task
    from taskbound.flows.approval.look import OperandFindings
    from taskbound.flows.decision import Answer
    from taskbound.flows.decision.narrowing import NarrowedTo
    from taskbound.ports.store import Store, Transaction

ANN = Actor(name="ann", proof="peer-uid:1000 (unproven)")
PAY: dict[str, Any] = {
    "name": "pay",
    "description": "Pays.",
    "inputSchema": {
        "type": "object",
        "properties": {
            "to": {"type": "string"},
            "amount": {"type": "number"},
            "note": {"type": "string", "default": ""},
        },
        "required": ["to", "amount"],
    },
    "annotations": {"readOnlyHint": False, "destructiveHint": True},
}
LOOK: dict[str, Any] = {
    "name": "look",
    "description": "Looks.",
    "inputSchema": {"type": "object", "properties": {"path": {"type": "string"}}},
    "annotations": {"readOnlyHint": True},
}
CEILING: dict[str, Any] = {
    "grants": [{"tool": "bank__pay", "others": "any"}, {"tool": "bank__look", "others": "any"}]
}
SCOPE: dict[str, Any] = {
    "grants": [
        {
            "tool": "bank__pay",
            "arguments": {"to": {"one_of": ["bob", "eve"]}, "amount": {"range": {"min": 0, "max": 50}}},
            "uses": 5,
            "total": {"amount": {"limit": 10000, "exponent": 2}},
        },
        {"tool": "bank__look", "arguments": {"path": {"below": "/srv"}}},
    ]
}


class WorldClock:
    """A clock that moves when it is told, and by a microsecond whenever it is asked."""

    def __init__(self) -> None:
        self.at = 1_800_000_000_000_000
        self._lock = threading.Lock()

    def now(self) -> Instant:
        with self._lock:
            self.at += 1
            return Instant(self.at)

    def advance(self, seconds: float) -> None:
        with self._lock:
            self.at += round(seconds * 1_000_000)


class WorldChance:
    """Names in order, so that a story reads the same each time."""

    def __init__(self) -> None:
        self._count = count(1)

    def name(self, prefix: str) -> str:
        return f"{prefix}_{next(self._count):026d}"

    def code(self) -> str:
        return f"{next(self._count):04d}-0000"

    def secret(self) -> str:
        return f"{next(self._count):043d}"


class WorldMonitor:
    """A monitor that keeps what it is sent, and can be broken."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.broken = False

    def parse(self, address: str) -> str:
        if not address.startswith("world:"):
            raise BadMonitorError(f"`{address}` is no monitor of this world")
        return address

    def deliver(self, address: str, message: bytes) -> None:
        if self.broken:
            raise MonitorUnreachableError(f"`{address}` is broken")
        self.messages.append(json.loads(message))


@dataclass
class World:
    """One namespace with ann, her agent `coder`, and a bank that it may use."""

    store: Store
    policy: str = field(default_factory=base_bundle)
    clock: WorldClock = field(default_factory=WorldClock)
    chance: WorldChance = field(default_factory=WorldChance)
    elapsed: float = 0.0
    """Seconds since the signer confirmed the log: they pass when a story says so."""

    def __post_init__(self) -> None:
        self.monitor = WorldMonitor()
        freshness = LogFreshness(lambda: self.elapsed)
        freshness.mark(0)
        freshness.confirm(0)
        self.adapters = Adapters(
            store=self.store,
            clock=self.clock,
            chance=self.chance,
            policy=Policies(self.store, CedarLanguage(), self.policy),
            monitor=self.monitor,
            signatures=PersonSignatures(),
            svids=SpiffeSvids(),
            tokens=JoserfcCheck(),
            operands=DiskOperands(),
            far=ApartOperands(),
            freshness=freshness,
            writer=self.chance.name("wrt"),
        )
        self.views = Views(self.store)
        self.deliveries = Deliveries(self.adapters)
        self.tasks = Tasks(self.adapters, self.views, self.deliveries)
        self.changes = Changes(self.adapters, self.views)
        self.watch = Watch(self.adapters, self.views)
        self.delegations = Delegations(self.adapters, self.deliveries)
        self.agents = Agents(self.adapters, self.views)
        self.pins = Pins(self.adapters, self.views)
        self.sights = PinComparison(self.adapters, self.views)
        self.bundles = Bundles(self.adapters, self.views)
        self.approvals = Approvals(self.adapters)
        self.widenings = Widenings(self.adapters, self.views)
        self.decisions = Decisions(self.adapters, self.views)
        self.narrowings = Narrowings(self.adapters, self.views)
        self.planning = Planning(self.adapters, self.views)
        self.plans = Plans(self.adapters)
        refusals = Refusals(self.adapters, self.views, self.decisions, Allowance())
        self.outcomes = Outcomes(self.adapters, refusals)
        self._requests = count(1)
        open_writer(self.adapters, software="test")

    def beside(self) -> World:
        """Another daemon over the same store, at the same time."""
        return World(store=self.store, policy=self.policy, clock=self.clock, chance=self.chance)

    def settle_in(self, *, uid: int = 1000) -> Task:
        """Ann, her active agent, the bank, and a running task."""
        register_person(self.adapters, "default", "ann", uid=uid, actor=ANN)
        self.add_agent("coder")
        self.add_bank()
        return self.start()

    def add_agent(self, name: str, *, ceiling: dict[str, Any] = CEILING) -> None:
        self.agents.register(
            "default",
            name,
            owner="ann",
            approvers=("ann",),
            monitor="world:1",
            ceiling=scope_of(ceiling),
            actor=ANN,
        )
        self.agents.test_monitor("default", name, ANN)
        self.agents.acknowledge("default", name, self.monitor.messages[-1]["code"], ANN)
        self.agents.activate("default", name, ANN)

    def add_bank(self, *definitions: dict[str, Any]) -> ServerIdentity:
        identity = ServerIdentity(
            namespace="default", command="/usr/bin/bank", resolved="/usr/bin/bank", sha256="0" * 64
        )
        raws = [json.dumps(one).encode() for one in definitions or (PAY, LOOK)]
        self.pins.add("bank", identity, b"{}", raws, agents=(), actor=ANN)
        return identity

    def start(
        self,
        *,
        scope: dict[str, Any] = SCOPE,
        seconds: int = 3600,
        agent: str = "coder",
        actor: Actor = ANN,
    ) -> Task:
        order = TaskOrder(
            namespace="default", agent=agent, purpose="pay bills", seconds=seconds, scope=scope_of(scope)
        )
        return self.tasks.start(order, actor)

    def child(self, parent: Task, *, scope: dict[str, Any] = SCOPE) -> Task:
        """A running task beneath another, written as no delegation would: all that is its parent's is its."""
        name = self.chance.name("tsk")
        wanted = scope_of(scope)
        shares = tuple(
            Share(child=one.id, parent=other.id, taken=())
            for one in wanted.grants
            for other in parent.scope.grants
            if one.tool == other.tool
        )
        child = replace(parent, id=name, parent=parent.id, scope=wanted, version=1, shares=shares)

        def work(tx: Transaction) -> None:
            tx.tasks.put_task(child, expect=0)
            tx.tasks.open_limits("default", name, initial_limits(child.scope))

        self.store.write(work)
        return child

    def delegate(self, parent: Task, /, actor: Actor = ANN, **changes: Any) -> Task:
        """A part of a task, handed on."""
        plain: dict[str, Any] = {
            "namespace": "default",
            "parent": parent.id,
            "agent": "helper",
            "purpose": "pay some of them",
            "scope": scope_of(SCOPE),
        }
        return self.delegations.delegate(ChildOrder(**plain | changes), actor)

    def task(self, task: Task) -> Task:
        """The task as it is now."""
        with self.store.read() as snapshot:
            found = snapshot.tasks.task("default", task.id)
        assert found is not None
        return found

    def meanwhile(self, what: Callable[[], object]) -> None:
        """Let this happen right before the next transaction begins: after all that was read for it."""
        write = self.store.write

        def late(work: Callable[[Transaction], object], **more: bool) -> object:
            self.store.write = write  # type: ignore[method-assign]  # the seam is put back
            what()
            return write(work, **more)

        self.store.write = late  # type: ignore[method-assign, assignment]  # the seam of a story

    def call(  # noqa: PLR0913 - what a call may differ in, each by its name
        self,
        task: Task | None,
        tool: str = "bank__pay",
        arguments: dict[str, JsonValue] | bytes | None = None,
        *,
        connection: str = "con_a",
        request: str = "",
        key: str = "",
        agent: str = "coder",
        unbound: TaskboundError | None = None,
        resume: str = "",
        wait: int = 0,
        recipient: str = "",
    ) -> Call:
        plain: dict[str, JsonValue] = {"to": "bob", "amount": 10}
        given = plain if arguments is None else arguments
        return Call(
            namespace="default",
            agent=agent,
            task=task.id if task else "",
            unbound=unbound,
            connection=connection,
            request=request or str(next(self._requests)),
            key=key,
            tool=tool,
            arguments=given if isinstance(given, bytes) else canonical(given),
            proof="peer-uid:1000 (unproven)",
            resume=resume,
            wait=wait,
            recipient=recipient,
        )

    def ask(self, task: Task | None, tool: str = "bank__pay", arguments: Any = None, **more: Any) -> Answer:
        (answer,) = self.decide([self.call(task, tool, arguments, **more)])
        return answer

    def decide(self, calls: Sequence[Call]) -> tuple[Answer, ...]:
        """An answer for each call, as a daemon gives them: what has to be looked at first is."""
        answers: list[Answer] = []
        for call, answer in zip(calls, self.decisions.decide(calls), strict=True):
            if isinstance(answer, NeedsProbe):
                answers += self.decide([replace(call, sight=probe_remote(self.adapters, answer.looks))])
            else:
                answers.append(answer)
        return tuple(answers)

    def narrow(self, raw: bytes, signature: bytes, arguments: bytes) -> NarrowedTo:
        """Take a narrowing, as a daemon does: what has to be looked at first is."""
        sight: OperandFindings | None = None
        while isinstance(
            done := self.narrowings.narrow("default", raw, signature, arguments, sight), NeedsProbe
        ):
            sight = probe_remote(self.adapters, done.looks)
        return done

    def tell(
        self,
        action: str,
        outcome: str = "succeeded",
        answer: bytes | None = b'{"ok":true}',
        *,
        connection: str = "con_a",
    ) -> Release | Withhold:
        report = Report(
            namespace="default", connection=connection, action=action, outcome=outcome, answer=answer
        )
        (released,) = self.outcomes.record([report])
        return released

    def left(self, task: Task) -> dict[str, int]:
        with self.store.read() as snapshot:
            return dict(snapshot.tasks.remainders("default", task.id))

    def records(self) -> list[dict[str, Any]]:
        """Every record that there is, in order."""
        with self.store.read() as snapshot:
            return [json.loads(one.body) for one in snapshot.audit.pending(1_000_000)]

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [one["event"] for one in self.records() if one["event"]["kind"] == kind]


def scope_of(value: dict[str, Any]) -> Scope:
    return parse_scope(value)


_OTHERS: dict[type, str] = {Repeated: "duplicate", Narrowed: "narrowed", NeedsProbe: "unseen"}


def code_of(answer: Answer | NeedsProbe) -> str:
    """What an answer comes to: `permit`, `hold`, `duplicate`, `unseen`, or the code of its refusal."""
    match answer:
        case Settled(decision=Permit()):
            return "permit"
        case Settled(decision=Hold()):
            return "hold"
        case Settled(decision=Refuse(code=code)) | NotDecided(refusal=Refuse(code=code)):
            return code
        case Waiting():
            return "hold"
        case Repeated() | Narrowed() | NeedsProbe():
            return _OTHERS[type(answer)]
    raise AssertionError(answer)


def id_of(answer: Answer | NeedsProbe) -> str:
    """The id of the action that was decided."""
    match answer:
        case Settled(proposal=proposal):
            return proposal.id
        case Waiting(hold=hold):
            return hold.action
        case Narrowed(action=action):
            return action
        case Repeated(prior=prior):
            return prior.id
        case _:
            raise AssertionError(answer)


def codes_of(answers: Sequence[Answer | NeedsProbe]) -> list[str]:
    return [code_of(one) for one in answers]

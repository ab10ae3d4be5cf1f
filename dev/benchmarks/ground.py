"""A place to measure in: one person, one agent, one pinned server, and the flows over a store."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from taskbound.adapters.approval.apart import ApartOperands
from taskbound.adapters.approval.disk import DiskOperands
from taskbound.adapters.clock.system import SystemChance, SystemClock
from taskbound.adapters.identity.signatures import PersonSignatures
from taskbound.adapters.identity.spiffe.x509 import SpiffeSvids
from taskbound.adapters.jose import JoserfcCheck
from taskbound.adapters.policy.cedar import CedarLanguage, base_bundle
from taskbound.core.action import canonical
from taskbound.core.clock import Instant
from taskbound.core.scope import parse_scope
from taskbound.core.tool import ServerIdentity
from taskbound.flows.audit.sequencing import LogFreshness, open_writer
from taskbound.flows.decision import Call, Decisions, Views
from taskbound.flows.identity import Agents, Deliveries, register_person
from taskbound.flows.means import Actor, Adapters
from taskbound.flows.policy import Policies
from taskbound.flows.task import TaskOrder, Tasks
from taskbound.flows.tool import Pins

if TYPE_CHECKING:
    from taskbound.core.action import JsonValue
    from taskbound.core.task import Task
    from taskbound.ports.policy import PolicyEngine
    from taskbound.ports.store import Store


INPUTS: Final = Path(__file__).parent / "inputs"
TOOL: Final = "bank__pay"
PROOF: Final = "peer-uid:1000 (unproven)"
_ANN: Final = Actor(name="ann", proof=PROOF)
_CEILING: Final[dict[str, JsonValue]] = {"grants": [{"tool": TOOL, "others": "any"}]}
_DAY: Final = 86_400


class _Post:
    """A monitor that keeps what it is sent."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []

    def parse(self, address: str) -> str:
        return address

    def deliver(self, address: str, message: bytes) -> None:
        del address
        self.messages.append(message)


@dataclass(slots=True)
class Ground:
    """The flows over one store, with the machine's own clock and chance."""

    adapters: Adapters
    views: Views
    decisions: Decisions
    post: _Post

    @classmethod
    def over(cls, store: Store) -> Ground:
        """The flows over this store, with a writer of their own."""
        post = _Post()
        chance = SystemChance()
        freshness = LogFreshness(lambda: 0.0)
        freshness.mark(0)
        freshness.confirm(0)
        adapters = Adapters(
            store=store,
            clock=SystemClock(Instant(0)),
            chance=chance,
            policy=Policies(store, CedarLanguage(), base_bundle()),
            monitor=post,
            signatures=PersonSignatures(),
            svids=SpiffeSvids(),
            tokens=JoserfcCheck(),
            operands=DiskOperands(),
            far=ApartOperands(),
            freshness=freshness,
            writer=chance.name("wrt"),
        )
        views = Views(store)
        open_writer(adapters, software="benchmark")
        return cls(adapters=adapters, views=views, decisions=Decisions(adapters, views), post=post)

    def settle_in(self) -> None:
        """Ann, her active agent `coder`, and the bank."""
        adapters = self.adapters
        register_person(adapters, "default", "ann", uid=1000, actor=_ANN)
        agents = Agents(adapters, self.views)
        agents.register(
            "default",
            "coder",
            owner="ann",
            approvers=("ann",),
            monitor="post:1",
            ceiling=parse_scope(_CEILING),
            actor=_ANN,
        )
        agents.test_monitor("default", "coder", _ANN)
        agents.acknowledge("default", "coder", json.loads(self.post.messages[-1])["code"], _ANN)
        agents.activate("default", "coder", _ANN)
        identity = ServerIdentity(
            namespace="default", command="/usr/bin/bank", resolved="/usr/bin/bank", sha256="0" * 64
        )
        definition = (INPUTS / "definition.json").read_bytes()
        Pins(adapters, self.views).add("bank", identity, b"{}", [definition], agents=(), actor=_ANN)

    def start(self, scope: JsonValue) -> Task:
        """A task of a day with this scope."""
        order = TaskOrder(
            namespace="default", agent="coder", purpose="pay bills", seconds=_DAY, scope=parse_scope(scope)
        )
        return Tasks(self.adapters, self.views, Deliveries(self.adapters)).start(order, _ANN)

    def policies_of(self, engine: PolicyEngine) -> Policies:
        """Policies that have this engine and nothing else."""
        made = Policies(self.adapters.store, CedarLanguage(), base_bundle())
        made.base = engine
        return made


def call_of(task: str, arguments: JsonValue, *, request: str, connection: str = "con_bench") -> Call:
    """A call of the one tool, as a gateway makes it."""
    return Call(
        namespace="default",
        agent="coder",
        task=task,
        unbound=None,
        connection=connection,
        request=request,
        key="",
        tool=TOOL,
        arguments=canonical(arguments),
        proof=PROOF,
    )

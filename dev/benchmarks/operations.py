"""What it costs that every operation is authorized: a gateway's call, and a person's operation.

*Call* is one durable decision by flows and store, one caller, one thread; *authorized* the same after what
the daemon's socket asks before it (`Authority.standing`, from memory as for every call but one a second). The
two take turns. A person's operation is authorized twice: *base* where no policy of an organization is about
it, and with 20 that are, each of which reads who asks, a fact of the message and one that is looked up.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dev.benchmarks.durable import sequencer_of
from dev.benchmarks.ground import Ground, call_of
from dev.benchmarks.inputs.cases import typical
from dev.benchmarks.page import Section, Table
from dev.benchmarks.sampling import by_turns, micro
from taskbound.adapters.keys.socket import SocketTokenSigner
from taskbound.adapters.policy.cedar import CedarLanguage, base_bundle
from taskbound.adapters.store.sql import SqlStore
from taskbound.core.identity import PeerProof
from taskbound.core.identity.proof import Principal, PrincipalKind
from taskbound.core.policy.operations import OPERATIONS
from taskbound.flows.policy.operations import OperationCall, authorize
from taskbound.surfaces.api.server.connection import Connection
from taskbound.surfaces.api.server.daemon import Daemon
from taskbound.surfaces.api.server.peer import Peer
from taskbound.surfaces.api.server.place import Installation

if TYPE_CHECKING:
    from collections.abc import Callable


_METHOD: Final = (__doc__ or "").partition("\n\n")[2]
_RULES: Final = "\n".join(
    f'@id("r{number}") forbid (principal, action == Taskbound::Action::"task:start", resource)'
    f" when {{ context.seconds > {number + 90_000} && context.owner != principal }}"
    f' unless {{ principal in Taskbound::Group::"default/g{number}" }};'
    for number in range(20)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """As the message has it."""

    agent: str = "coder"
    template: str = ""
    seconds: int = 600
    purpose: str = "pay bills"
    learning: bool = False
    evidence: tuple[str, ...] = ()


def measure_operations(*, quick: bool) -> Section:
    """The section."""
    with tempfile.TemporaryDirectory(prefix="taskbound-operations-") as folder:
        store = SqlStore(Path(folder) / "ours.db")
        try:
            return _measure(Ground.over(store), quick=quick)
        finally:
            store.close()


def _measure(ground: Ground, *, quick: bool) -> Section:
    ground.settle_in()
    case = typical()
    task = ground.start(case.scope)
    numbers = count(1)
    loop = asyncio.new_event_loop()
    place = Installation(home="", pid=os.getpid(), owner_uid=1000)
    unasked = SocketTokenSigner(Path("no-signer"))
    daemon = Daemon(ground.adapters, sequencer_of(ground), unasked, loop, place)
    proof = PeerProof(uid=1000, pid=os.getpid(), started=1)
    connection = Connection(
        name="con_1",
        role="gateway",
        namespace="default",
        agent="coder",
        peer=Peer(proof=proof, ancestry=()),
        push=lambda _: None,
    )

    def call() -> None:
        ground.decisions.decide([call_of(task.id, case.arguments, request=str(next(numbers)))])

    def authorized() -> None:
        daemon.authority.standing(connection, OPERATIONS["action:decide"])
        call()

    turns, pieces = (5, 100) if quick else (15, 400)
    hot = by_turns({"call": call, "authorized": authorized}, turns=turns, pieces=pieces)
    asked = OperationCall(
        principal=Principal(kind=PrincipalKind.PERSON, namespace="default", name="ann", proof=proof),
        operation=OPERATIONS["task:start"],
        message=_Start(),
    )

    def under(text: str) -> Callable[[], object]:
        adapters = replace(ground.adapters, policy=ground.policies_of(CedarLanguage().engine(text)))
        return lambda: authorize(adapters, asked)

    alone = by_turns(
        {
            "standing": lambda: daemon.authority.standing(connection, OPERATIONS["action:decide"]),
            "base": under(base_bundle()),
            "20 rules": under(base_bundle() + _RULES),
        },
        turns=turns,
        pieces=pieces * 4,
    )
    loop.close()
    timed = {**hot, **alone}
    rows = tuple((name, micro(one.median), micro(one.p99), micro(one.cpu)) for name, one in timed.items())
    return Section(
        name="operations",
        title="Operations by policy",
        method=_METHOD,
        tables=(Table(head=("what", "p50 µs", "p99 µs", "processor µs"), rows=rows),),
        numbers={name: one.median for name, one in timed.items()},
    )

"""Credentials of a world: rows as their permits write them, and a broker that a story plays."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from taskbound.core.clock import Instant, seconds
from taskbound.core.credential import Credential, CredentialState, Step, name_of
from taskbound.core.target import TargetState
from taskbound.flows.credential.leasing import BrokerReport, Sweep, lease, take_sweep
from taskbound.flows.credential.naming import open_mark
from taskbound.ports.target import StoredTarget
from tests.core.credential.crediting import made
from tests.world import id_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from taskbound.core.task import Task
    from taskbound.flows.credential.leasing import Leased
    from tests.world import World


TARGET = "orders-db"


def name(letter: str) -> str:
    return "crd_" + letter * 35


def put_target(world: World, target: str = TARGET, namespace: str = "default") -> str:
    """A target that is ready; the installation's mark."""
    mark = open_mark(world.adapters)
    row = StoredTarget(
        namespace=namespace,
        name=target,
        file=json.dumps({"name": target}).encode(),
        identity="1" * 64,
        state=TargetState.READY,
        sealed="sealed",
    )
    world.store.write(lambda tx: tx.targets.put_target(row, expect=0))
    return mark


def put(world: World, letter: str, **changes: Any) -> Credential:
    """A row that is written now."""
    now = world.clock.now()
    plain = {"id": name(letter), "made": now, "due": now, "ends": Instant(now + seconds(300))}
    row = made(**plain | {"target": TARGET} | changes)
    world.store.write(lambda tx: tx.credentials.insert_credentials([row]))
    return row


def put_many(world: World, count: int, **changes: Any) -> None:
    """So many rows, in one transaction."""
    now = world.clock.now()
    plain = {"made": now, "due": now, "ends": Instant(now + seconds(300)), "target": TARGET}
    spelled = (
        f"{number:035d}".translate(str.maketrans("0123456789", "abcdefghij")) for number in range(count)
    )
    rows = [made(**plain | changes | {"id": f"crd_{one}"}) for one in spelled]
    world.store.write(lambda tx: tx.credentials.insert_credentials(rows))


def permitted(
    world: World, task: Task, letter: str, *, connection: str = "con_a", **changes: Any
) -> Credential:
    """A row that was written with the permit of a real action."""
    action = id_of(world.ask(task, connection=connection))
    return put(world, letter, task=task.id, agent=task.agent, action=action, **changes)


def row_of(world: World, row: Credential | str) -> Credential:
    """The row as it stands now."""
    wanted = row if isinstance(row, str) else row.id
    with world.store.read() as seen:
        found = seen.credentials.credential("default", wanted)
    assert found is not None
    return found


def moves(world: World) -> list[tuple[str, str, str]]:
    """Each recorded move: before, event, after."""
    return [(one["before"], one["event"], one["after"]) for one in world.events("credential-moved")]


@dataclass(kw_only=True)
class Broker:
    """What a broker does, step by step."""

    world: World
    waited: Collection[str] = ()
    """Ids of those that somebody waits for."""

    def lease(self, *rows: Credential) -> tuple[Leased, ...]:
        return lease(self.world.adapters, "default", [one.id for one in rows], self.waited)

    def take(self, row: Credential, step: Step) -> BrokerReport:
        """The step, which has to be this one; what tells of it."""
        (leased,) = self.lease(row)
        assert leased.step is step
        return self.telling(row, leased.credential.lease.fence)

    def telling(self, row: Credential, fence: int) -> BrokerReport:
        return BrokerReport(adapters=self.world.adapters, namespace="default", credential=row.id, fence=fence)

    def mint(self, row: Credential) -> Credential:
        return self.take(row, Step.MINT).minted(sealed=bool(row.action))

    def revoke(self, row: Credential) -> Credential:
        return self.take(row, Step.REVOKE).gone(0, ())

    def sweep(self, names: Collection[str]) -> tuple[str, ...]:
        return take_sweep(
            self.world.adapters,
            Sweep(
                namespace="default",
                target=TARGET,
                identity="1" * 64,
                names=names,
                begun=self.world.clock.now(),
            ),
        )


def shown_as(mark: str, *rows: Credential) -> list[str]:
    """What their target calls them."""
    return [name_of(mark, one.id) for one in rows]


LIVING = tuple(one for one in CredentialState if one.value in {"journaled", "minting", "active"})

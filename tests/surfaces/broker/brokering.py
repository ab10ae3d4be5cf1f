"""A broker without its process: real store, flows and databases, and a daemon's answers without a daemon."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from taskbound.adapters.keys.sealing import AskerKey, SealingKey, hand, seal
from taskbound.adapters.targets.postgres import PostgresAdmin, PostgresTarget
from taskbound.core.clock import Instant
from taskbound.core.credential import Credential, Step, end_credential
from taskbound.core.target import AdminAccess, PostgresAccess, PostgresPlace, TargetFile, parse_target_file
from taskbound.core.tool import Binding
from taskbound.core.tool.slot import ADMIN_SLOT
from taskbound.flows.credential.leasing import (
    BrokerReport,
    Reconciled,
    Sweep,
    lease,
    take_reconciled,
    take_sweep,
)
from taskbound.flows.credential.revoking import end_due
from taskbound.ports.target import Gone, Minted
from taskbound.sdk.client import DaemonLostError
from taskbound.surfaces.broker.memory import EMPTY, Memory
from taskbound.surfaces.broker.steps import Watch, WorkerDependencies
from taskbound.surfaces.broker.targets import HandleVault, Targets
from taskbound.surfaces.broker.work import Work
from taskbound.wire.target import (
    Order,
    Orders,
    Swept,
    TellDiscovered,
    TellEpoch,
    TellFailed,
    TellGone,
    TellLeft,
    TellMinted,
    TellReconciled,
    TellRenewed,
    TellSeen,
    TellSwept,
)
from tests.peers.minter import ADMIN
from tests.peers.minter import Orders as Database
from tests.stories.minting import SPACE, Minting

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from taskbound.ports.store import Readable, Store
    from taskbound.ports.target import MintOrder
    from taskbound.surfaces.broker.steps import Told

PATIENCE = 45.0


class Quick:
    """A target in which nothing takes any time."""

    def mint(self, order: MintOrder, *_: object, **__: object) -> Minted:
        return Minted(open={}, secret={"PGPASSWORD": order.name})

    def use(self, *_: object, **__: object) -> None:
        return None

    def sweep(self, *_: object, **__: object) -> tuple[str, ...]:
        return ()

    def revoke(self, *_: object, **__: object) -> Gone:
        return Gone(cut=0)


@dataclass
class Paper:
    """Where the broker's memory is kept; it may be lost."""

    data: bytes | None = EMPTY

    def read(self) -> bytes | None:
        return self.data

    def write(self, data: bytes) -> None:
        self.data = data


@dataclass
class Daemon:
    """What a daemon answers, by the same flows (`surfaces.broker.authority.Authority`)."""

    world: Minting
    waiting: set[str] = field(default_factory=set)
    handed: dict[str, str] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)
    seen: list[tuple[str, TellDiscovered]] = field(default_factory=list)
    deaf: bool = False
    """Whether it takes nothing of what it is told."""
    attended: set[str] = field(default_factory=set)
    stood: list[TellEpoch] = field(default_factory=list)
    """How the broker said to stand to the store."""
    answers: bool = True
    """Whether who told that a store is believed again hears that it is written."""

    def attend(self, namespaces: Collection[str]) -> None:
        self.attended |= set(namespaces)

    def lease(self, namespace: str, credentials: Collection[str]) -> Orders:
        given = lease(self.world.adapters, namespace, credentials, self.waiting)
        orders = tuple(
            Order(
                credential=one.credential.id,
                step=one.step.value,  # type: ignore[arg-type]  # END is never given
                fence=0 if one.step is Step.LOOK else one.credential.lease.fence,
                until=0 if one.step is Step.LOOK else one.credential.lease.until,
            )
            for one in given
        )
        return Orders(orders=orders, now=self.world.adapters.clock.now())

    def require_hearing(self) -> None:
        if self.deaf:
            raise DaemonLostError("the daemon does not hear")

    def tell(self, namespace: str, told: Told) -> None:
        self.require_hearing()
        fence = getattr(told, "fence", 0)
        one = BrokerReport(
            adapters=self.world.adapters, namespace=namespace, credential=told.credential, fence=fence
        )
        match told:
            case TellMinted():
                one.minted(sealed=bool(told.sealed), kept=told.kept)
                self.handed[told.credential] = told.sealed
            case TellRenewed():
                one.renewed()
            case TellFailed():
                one.failed(told.code, told.trouble, unsent=told.unsent, lasting=told.lasting)
            case TellGone():
                one.gone(told.cut, told.notes)
            case TellLeft():
                one.left(Instant(told.until))
            case TellSeen():
                one.seen(exists=told.exists)
        self.told.append(told)
        self.world.world.views.forget()

    def swept(self, namespace: str, told: TellSwept) -> Swept:
        sweep = Sweep(
            namespace=namespace,
            target=told.target,
            identity=told.identity,
            names=told.names,
            begun=Instant(told.begun),
        )
        return Swept(revoked=take_sweep(self.world.adapters, sweep))

    def discovered(self, namespace: str, told: TellDiscovered) -> None:
        self.require_hearing()
        self.seen.append((namespace, told))

    def stand(self, told: TellEpoch) -> None:
        self.require_hearing()
        self.stood.append(told)

    def reconciled(self, told: TellReconciled) -> None:
        self.require_hearing()
        found = Reconciled(
            epoch=told.epoch, since=told.since, why=told.why, ended=told.ended, targets=told.targets
        )
        take_reconciled(self.world.adapters, SPACE, found)
        if not self.answers:
            raise DaemonLostError("the daemon's answer was lost")

    def heard(self, namespace: str) -> Instant:
        assert namespace == SPACE
        return self.world.adapters.clock.now()


def declared_at(folder: Path, name: str = "orders-db", group: str = "readers", **more: Any) -> dict[str, Any]:
    """The file of a target at this socket's folder."""
    return {
        "target": name,
        "kind": "postgres",
        "where": {"host": str(folder), "database": "orders"},
        "owner": "bob",
        "approvers": ["carol"],
        "credentials": {
            "reader": {
                "for": "Reads orders.",
                "group": group,
                "seconds": 900,
                "context": ["tenant"],
                **more,
            }
        },
    }


def plug(file: TargetFile, access: AdminAccess) -> PostgresTarget:
    assert isinstance(file.place, PostgresPlace)
    assert isinstance(access, PostgresAccess)
    return PostgresTarget(file.place, PostgresAdmin(user=access.user, password=access.password))


class Brokering:
    """A broker whose rounds a test makes."""

    def __init__(
        self,
        store: Store,
        *,
        paper: Paper | None = None,
        key: SealingKey | None = None,
        plugs: Mapping[str, Any] | None = None,
        seeing: Mapping[str, Any] | None = None,
        seen: Readable | None = None,
    ) -> None:
        self.world = Minting(store)
        self.seen = seen or store
        """The store as the broker's memory sees it."""
        self.daemon = Daemon(self.world)
        self.key = key or SealingKey.generate()
        self.paper = paper or Paper()
        self.asker = AskerKey.generate()
        self.late = 0.0
        """Seconds by which the clock that is never set is ahead."""
        self.plugs = plugs or {"postgres": plug}
        self.seeing = seeing
        self.start()

    def start(self) -> None:
        """Begin anew, as after a kill."""
        adapters = self.world.adapters
        memory = Memory(self.paper, self.seen, adapters.clock)
        self.desk = WorkerDependencies(
            store=adapters.store,
            watch=Watch(clock=adapters.clock, elapsed=lambda: time.monotonic() + self.late),
            authority=self.daemon,
            targets=Targets(self.key, self.plugs, seeing=self.seeing, store=adapters.store),
            memory=memory,
            keeping=HandleVault(self.key, memory),
            proves=self.world.proofs,
            hand=hand,
        )
        self.work = Work(self.desk)

    def declare(
        self, file: dict[str, Any], access: AdminAccess | None = None, **other: Any
    ) -> tuple[str, ...]:
        """Ids of the canaries of a target that is declared now."""
        admin = access or PostgresAccess(user=ADMIN.user, password=ADMIN.password)
        binding = {
            "namespace": SPACE,
            "server": file["target"],
            "identity": parse_target_file(file).identity(SPACE),
            "slot": ADMIN_SLOT.text,
            "number": 1,
        }
        sealed = seal(admin.text, Binding(**{**binding, **other}), public=self.key.public)
        return self.world.add(file, sealed=sealed).credentials

    def round(self) -> None:
        """One look at what is due, until all of it is done, and what the daemon does of it."""
        self.work.round()
        assert self.work.settle(patience=PATIENCE)
        end_due(self.world.adapters, SPACE)

    def settle(self, rounds: int = 6) -> None:
        for _ in range(rounds):
            self.round()

    def ready(self, database: Database, **changes: Any) -> None:
        """A target that the broker has tested."""
        self.declare(declared_at(database.server.folder, **changes))
        self.settle()
        assert self.world.row().state.value == "ready", self.world.row().trouble

    def ask(self, *, waits: bool = True, **forged: Any) -> Credential:
        """A permitted credential, whose secret somebody waits for."""
        row = self.world.permit(
            "reader", row={"recipient": self.asker.public}, record={"recipient": self.asker.public}, **forged
        )
        if waits:
            self.daemon.waiting.add(row.id)
        return row

    def row(self, credential: str) -> Credential:
        with self.world.adapters.store.read() as seen:
            found = seen.credentials.credential(SPACE, credential)
        assert found is not None
        return found

    def open(self, row: Credential) -> Minted:
        return self.asker.open(
            self.daemon.handed[row.id], namespace=SPACE, target=row.target, credential=row.id
        )

    def end(self, row: Credential) -> None:
        self.world.move(row.id, lambda one, now: end_credential(one, "no more", now))

    def later(self, much: float) -> None:
        """Let time pass, by both clocks."""
        self.world.world.clock.advance(much)
        self.late += much

"""A target with two kinds of credentials, pinned as a declaration pins one, and calls that ask for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from taskbound.core.audit import ToolPinned, parse_record
from taskbound.core.audit.events.work import CredentialJournaled
from taskbound.core.target import CredentialKind, PostgresKind, kind_definition
from taskbound.core.tool import Effect, join_tool_name
from taskbound.ports.tool import PinnedServer, PinnedTool

if TYPE_CHECKING:
    from taskbound.core.credential import Credential
    from taskbound.core.task import Task
    from taskbound.flows.decision import Answer
    from taskbound.ports.store import Store, Transaction
    from tests.world import World


ALICE = "hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo"
"""The public key of RFC 7748, section 6.1, that is Alice's; the next is Bob's."""
BOB = "3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08"
IDENTITY = "7" * 64
READER = CredentialKind(
    name="reader",
    description="Reads the orders of one customer",
    seconds=600,
    effect=Effect.READ,
    grants=PostgresKind(group="order_readers", context=("customer",)),
)
WRITER = CredentialKind(
    name="writer", description="Writes orders", seconds=120, grants=PostgresKind(group="order_writers")
)
MAY_MINT: dict[str, Any] = {
    "grants": [
        {"tool": "orders-db__credential/reader", "others": "any"},
        {"tool": "orders-db__credential/writer", "others": "any"},
        {"tool": "bank__pay", "others": "any"},
        {"tool": "bank__look", "others": "any"},
    ]
}


def add_target(
    world: World,
    *,
    owner: str = "ann",
    name: str = "orders-db",
    kinds: tuple[CredentialKind, ...] = (READER, WRITER),
) -> None:
    """Pin it, with a tool for each of its kinds; the first version is the instant (`flows.tool.pin`)."""
    now = world.clock.now()

    def work(tx: Transaction) -> None:
        tx.tools.put_server(
            PinnedServer(
                namespace="default",
                name=name,
                spec=b'{"kind":"postgres"}',
                identity=IDENTITY,
                agents=(),
                version=now,
                is_target=True,
            ),
            expect=0,
        )
        for kind in kinds:
            definition = kind_definition(kind)
            tx.tools.put_tool(
                PinnedTool(
                    namespace="default",
                    name=join_tool_name(name, definition.name),
                    server=name,
                    identity=IDENTITY,
                    definition=definition.canonical,
                    digest=definition.digest,
                    state="pinned",
                    version=now,
                    owner=owner,
                ),
                expect=0,
            )
        tx.audit.append("default", world.adapters.writer, [_pinned(name, one, owner) for one in kinds], now)

    world.store.write(work)
    world.views.forget()


def _pinned(server: str, kind: CredentialKind, owner: str) -> ToolPinned:
    definition = kind_definition(kind)
    return ToolPinned(
        tool=join_tool_name(server, definition.name),
        server=IDENTITY,
        definition=definition.digest,
        effect=definition.effect.value,
        by="daemon",
        proof="its own",
        owner=owner,
    )


def held_by_finance(policy: str, kind: str = "reader", lifter: str = "approval:finance") -> str:
    """The policy, and that such a credential waits for people of finance."""
    tool = f"orders-db__credential/{kind}"
    return (
        f'{policy}@id("minted") @hold("{lifter}")'
        f' forbid (principal, action == Taskbound::Action::"{tool}", resource);'
    )


def rows_of(store: Store) -> tuple[Credential, ...]:
    """Every credential, oldest first."""
    with store.read() as snapshot:
        return tuple(sorted(snapshot.credentials.credentials("default"), key=lambda one: one.id))


class Targets:
    """An agent `minter` whose task may have credentials of a target, in a world that is settled in."""

    def __init__(
        self,
        world: World,
        *,
        scope: dict[str, Any] = MAY_MINT,
        ceiling: dict[str, Any] = MAY_MINT,
        kinds: tuple[CredentialKind, ...] = (READER, WRITER),
    ) -> None:
        self.world = world
        add_target(world, kinds=kinds)
        world.add_agent("minter", ceiling=ceiling)
        self.task: Task = world.start(scope=scope, agent="minter")

    def ask(
        self,
        kind: str = "reader",
        arguments: dict[str, Any] | None = None,
        *,
        task: Task | None = None,
        **more: Any,
    ) -> Answer:
        """Ask for a credential."""
        given = {"customer": "42"} if arguments is None and kind == "reader" else arguments or {}
        more = {"agent": "minter", "recipient": ALICE} | more
        return self.world.ask(task or self.task, f"orders-db__credential/{kind}", given, **more)

    def rows(self) -> tuple[Credential, ...]:
        return rows_of(self.world.store)

    def require_recorded(self) -> None:
        """Each row names its own record, there is one permit for each, and no record without its row."""
        with self.world.store.read() as snapshot:
            for row in self.rows():
                placed = snapshot.audit.numbered(row.record)
                assert placed is not None
                event = parse_record(placed.body).event
                assert isinstance(event, CredentialJournaled)
                assert (event.credential, event.action) == (row.id, row.action)
                assert (event.ends, event.recipient, event.task) == (row.ends, row.recipient, row.task)
        journaled = [one["credential"] for one in self.world.events("credential-journaled")]
        assert sorted(journaled) == [one.id for one in self.rows()]
        permits = [
            one["action"]
            for one in self.world.events("action-decided")
            if one["decision"] == "permit" and "__credential/" in one["tool"]
        ]
        assert sorted(permits) == sorted(one.action for one in self.rows())

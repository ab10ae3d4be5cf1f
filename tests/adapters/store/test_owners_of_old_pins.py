"""Revision 0025: tools that were pinned before they had owners get those whom the log knows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from taskbound.adapters.store.postgres import PostgresStore
from taskbound.adapters.store.postgres.server.upgrade import upgrade_database
from taskbound.adapters.store.sql import SqlStore
from taskbound.adapters.store.sql.sqlite.driver import driver
from taskbound.core.tool import ServerIdentity
from taskbound.flows.identity import register_person
from taskbound.flows.identity.leaving import People
from tests.peers.people import actor_of
from tests.world import ANN, PAY, World

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.ports.store import Store
    from tests.postgres import Server

LATER = (
    "accounts agent_keys answered browser_sessions claims claims_forgotten credentials epochs"
    " identity_issuers installation revocations selectors service_keys services shared_claims"
    " shared_tallies sign_ins targets token_admissions token_clients"
    " token_keys token_refreshes token_requests tokens trusts unclaimed_tasks"
)
"""Tables that later revisions make."""
OLD = (
    "ALTER TABLE tasks DROP COLUMN for_token",
    "ALTER TABLE tools DROP COLUMN owner",
    "ALTER TABLE tools DROP COLUMN unwatched",
    "ALTER TABLE servers DROP COLUMN target",
    "ALTER TABLE person_groups DROP COLUMN claimed",
    *(
        f"ALTER TABLE approval_answers DROP COLUMN {one}"
        for one in ("acr", "authenticated", "token", "session")
    ),
    "CREATE TABLE task_bearers (task TEXT)",  # until 0038
    "UPDATE alembic_version SET version_num = '0024'",
    *(f"DROP TABLE {table}" for table in LATER.split(" ")),
)


def fill(store: Store) -> None:
    """Servers of several who pinned them."""
    world = World(store=store)
    world.settle_in()
    for uid, name in enumerate(("bob", "carl"), start=1001):
        register_person(world.means, "default", name, uid=uid, actor=ANN)
    for name in ("bob", "carl"):
        pin(world, f"of-{name}", name)
    world.pins.remove("default", "of-bob", ANN)
    pin(world, "of-bob", "ann")
    pin(world, "of-nobody", "uid:7")
    pin(world, "of-account", "uid:1001")
    People(world.means, world.views).leave("default", "carl", actor_of("carl"), owns=False, reason="")


def pin(world: World, server: str, by: str) -> None:
    identity = ServerIdentity(namespace="default", command="/b", resolved="/b", sha256="0" * 64)
    world.pins.add(server, identity, b"{}", [json.dumps(PAY).encode()], agents=(), actor=actor_of(by))


def check(store: Store, before: dict[str, int]) -> None:
    with store.read() as seen:
        found = {one.name: one for one in seen.tools.tools("default")}
    assert {name: one.owner for name, one in found.items()} == {
        "bank__look": "ann",
        "bank__pay": "ann",
        "of-account__pay": "bob",  # whose account it is
        "of-bob__pay": "ann",  # who pinned it last
        "of-carl__pay": "",  # who has left
        "of-nobody__pay": "",  # no person
    }
    assert {name: one.version - before[name] for name, one in found.items() if one.owner} == {
        "bank__look": 1,
        "bank__pay": 1,
        "of-account__pay": 1,
        "of-bob__pay": 1,
    }


def versions(store: Store) -> dict[str, int]:
    with store.read() as seen:
        return {one.name: one.version for one in seen.tools.tools("default")}


def test_in_sqlite_who_pinned_a_tool_owns_it_after_the_upgrade_if_the_log_knows_them(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    store = SqlStore(path, reserve=0)
    fill(store)
    before = versions(store)
    store.close()
    connection = driver.connect(str(path))
    for statement in OLD:
        connection.execute(statement)
    connection.commit()
    connection.close()
    upgraded = SqlStore(path, reserve=0)
    check(upgraded, before)
    upgraded.close()


def test_in_postgresql_who_pinned_a_tool_owns_it_after_the_upgrade_if_the_log_knows_them(
    server: Server,
) -> None:
    name = server.database()
    store = PostgresStore(server.url(name))
    fill(store)
    before = versions(store)
    store.close()
    with server.connect(name) as admin:
        admin.execute("SET search_path TO taskbound")
        for statement in OLD:
            admin.execute(statement.encode())
    upgrade_database(server.url(name, "owner"), daemon="daemon")
    upgraded = PostgresStore(server.url(name))
    check(upgraded, before)
    upgraded.close()
    server.drop(name)

"""What a process that only reads a daemon's store sees of targets and credentials; it changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.store.postgres import PostgresStore
from taskbound.adapters.store.sql import SqlStore
from taskbound.core.clock import Instant
from taskbound.flows.approval.circle import see_people
from taskbound.ports.store import StoreUnavailableError
from taskbound.wiring.store import open_reader
from tests.contracts.store.rows import NOW, SPACE, action, agent, person_key, server, task, tool
from tests.contracts.store.test_approval import approval
from tests.contracts.store.test_credential import row
from tests.contracts.store.test_target import DB, target

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from taskbound.ports.store import Readable, Snapshot, Transaction
    from tests.postgres import Server

ASKED = f"{DB}__credential/reader"


def fill(tx: Transaction) -> None:
    tx.targets.put_mark("abcdefgh")
    tx.targets.put_target(target(), expect=0)
    tx.tools.put_server(server(DB, is_target=True), expect=0)
    tx.tools.put_tool(tool(ASKED, of=DB), expect=0)
    tx.tasks.put_task(task(), expect=0)
    tx.identities.put_agent(agent(), expect=0)
    tx.actions.insert_actions([action(1)])
    tx.approvals.insert_approvals([approval(1)])
    tx.identities.put_person_key(person_key(), expect=0)
    tx.credentials.insert_credentials([row("a")])


@pytest.fixture(params=["sqlite", "postgres"])
def reader(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Readable]:
    if request.param == "sqlite":
        store = SqlStore(tmp_path / "t.db", reserve=0)
        store.write(fill)
        yield open_reader(str(tmp_path / "t.db"), "")
        store.close()
        return
    shared: Server = request.getfixturevalue("server")
    name = shared.database()
    daemon = PostgresStore(shared.url(name))
    daemon.write(fill)
    daemon.close()
    opened = open_reader("", shared.url(name, "broker"))
    yield opened
    if isinstance(opened, PostgresStore):
        opened.close()
    shared.drop(name)


def test_a_broker_reads_all_that_a_mint_rests_on(reader: Readable) -> None:
    with reader.read() as seen:
        assert seen.targets.mark() == "abcdefgh"
        assert seen.targets.all_targets() == seen.targets.targets(SPACE) == (target(),)
        assert seen.targets.target(SPACE, DB) == target()
        assert seen.credentials.credential(SPACE, row("a").id) == row("a")
        assert seen.credentials.credentials(SPACE, target=DB) == (row("a"),)
        assert seen.credentials.due(SPACE, DB, Instant(NOW + 10), limit=9) == (row("a"),)
        assert seen.credentials.overdue(SPACE, Instant(NOW + 10), limit=9) == ()
        assert seen.tools.server(SPACE, DB) == server(DB, is_target=True)
        assert seen.tools.tool(SPACE, ASKED) == tool(ASKED, of=DB)
        assert rests_on(seen) == (False, 1, True, True, 1)


def rests_on(seen: Snapshot) -> tuple[object, ...]:
    """What the broker reads anew of an action, each by its own word."""
    people = see_people(seen, SPACE, NOW)
    found = seen.tasks.task(SPACE, "tsk_1")
    assert found is not None
    people.circle(seen, found, ASKED)
    seen.identities.persons(SPACE)
    seen.tasks.heads(SPACE, {"tsk_1"})
    seen.approvals.approval_of(SPACE, action(1).id)
    seen.audit.numbered(1)
    seen.audit.size()
    seen.audit.count()
    seen.audit.checkpoint()
    return (
        seen.revocation.kill_switch(SPACE).stopped,
        len(seen.tasks.lineage(SPACE, "tsk_1")),
        seen.actions.action(SPACE, action(1).id) is not None,
        seen.approvals.approval(SPACE, "apr_1") is not None,
        len(seen.identities.person_keys(SPACE)),
    )


def test_a_broker_writes_nothing(server: Server) -> None:
    name = server.database()
    store = PostgresStore(server.url(name, "broker"))
    for work in (
        lambda tx: tx.targets.put_target(target(), expect=0),
        lambda tx: tx.targets.put_mark("abcdefgh"),
        lambda tx: tx.targets.lock_target(SPACE, DB),
        lambda tx: tx.credentials.insert_credentials([row("a")]),
    ):
        with pytest.raises(StoreUnavailableError):
            store.write(work)
    store.close()
    server.drop(name)

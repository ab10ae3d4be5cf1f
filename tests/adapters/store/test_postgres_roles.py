from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg
import pytest

from taskbound.adapters.store.postgres import PostgresStore
from taskbound.adapters.store.postgres.server.opening import (
    DAEMON,
    GROUPS,
    examine_database,
    upgrade_database,
)
from taskbound.adapters.store.sql.schema import METADATA
from taskbound.core.clock import Instant
from taskbound.core.token import ClaimKind, Use, claim_of
from tests.contracts.store import rows
from tests.contracts.store.rows import NOW, SPACE
from tests.postgres import Server

if TYPE_CHECKING:
    from collections.abc import Iterator


LOG = {"records", "places", "tiles", "checkpoints", "schema_revision"}
"""What a signer needs of the log, and to open the database."""
RESTS = {
    *("writers", "tokens", "token_keys", "kill_switches", "agents", "persons", "tasks", "actions"),
    *("approvals", "approval_plans", "approval_answers", "token_admissions"),
}
"""What a token rests on, which a signer reads anew before it signs one."""
SERVES = {"services", "service_keys"}
"""The same of services' tokens, which nothing is minted on."""
MINTS = {
    *("targets", "installation", "credentials", "servers", "tools", "tool_approvers"),
    *(
        "person_keys",
        "person_groups",
        "namespaces",
        "issuers",
        "identity_issuers",
        "accounts",
        "task_accounts",
    ),
}
"""What a broker reads besides, before it mints what people signed."""
APPENDED = ("bundles", "activations", "approval_answers", "task_evidence")
"""What people proposed, decided and said, and the tokens that a task was started with."""
KEPT = (
    *("bundles_in_force", "person_keys", "namespaces", "person_groups", "kill_switches", "acts", "runs"),
    *("claims_forgotten", "credentials", "epochs", "installation", "shared_tallies"),
)
"""What moves on and never goes."""
REMOVED = (
    "issuers",
    "selectors",
    "identity_issuers",
    "accounts",
    "sign_ins",
    "browser_sessions",
    "token_clients",
    "token_requests",
    "token_refreshes",
    "heartbeats",
    "unclaimed_tasks",
    "templates",
    "remainders",
    "revocations",
    "shared_claims",
    "targets",
)
"""What a daemon takes away a row at a time."""
QUESTION = ("namespace", "id", "action", "task", "act", "asked")
"""What a question was, beside its text."""


@pytest.fixture
def name(server: Server) -> Iterator[str]:
    made = server.database()
    yield made
    server.drop(made)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM taskbound.records",
        "UPDATE taskbound.records SET body = ''",
        "TRUNCATE taskbound.records",
        "DELETE FROM taskbound.places",
        "UPDATE taskbound.places SET place = 9",
        "DELETE FROM taskbound.actions",
        "UPDATE taskbound.actions SET digest = ''",
        "DELETE FROM taskbound.approvals",
        "UPDATE taskbound.approvals SET question = ''",
        "DELETE FROM taskbound.approval_answers",
        "UPDATE taskbound.approval_answers SET person = 'eve'",
        "UPDATE taskbound.actions SET arguments = ''",
        "DELETE FROM taskbound.tasks",
        "DELETE FROM taskbound.agents",
        "DELETE FROM taskbound.checkpoints",
        *(f"UPDATE taskbound.approvals SET {one} = {one}" for one in QUESTION),  # noqa: S608  # our own names
        "UPDATE taskbound.installation SET mark = 'aaaaaaaa'",
        "UPDATE taskbound.credentials SET task = ''",
        *(f"UPDATE taskbound.{one} SET namespace = namespace" for one in APPENDED),  # noqa: S608  # our own names
        *(f"DELETE FROM taskbound.{one}" for one in (*APPENDED, *KEPT)),  # noqa: S608  # our own names
        *(f"TRUNCATE taskbound.{one}" for one in (*APPENDED, *KEPT, *REMOVED)),
        "UPDATE taskbound.shared_claims SET claimant = ''",
        "UPDATE taskbound.numbering SET shift = 0",
        "UPDATE taskbound.schema_revision SET revision = 9999",
        "CREATE TABLE taskbound.mine (id int)",
        "DROP TABLE taskbound.records",
        "ALTER TABLE taskbound.records DROP COLUMN body",
        "CREATE ROLE another",
        "GRANT taskbound_daemon TO signer",
    ],
)
def test_a_daemon_can_not_change_what_was_recorded_or_how(server: Server, name: str, statement: str) -> None:
    with server.connect(name, "daemon") as seen, pytest.raises(psycopg.errors.InsufficientPrivilege):
        seen.execute(statement.encode())


@pytest.mark.parametrize("table", sorted(LOG | RESTS | SERVES))
def test_a_signer_reads_the_log_and_what_tokens_rest_on_and_writes_nothing(
    server: Server, name: str, table: str
) -> None:
    with server.connect(name, "signer") as seen:
        seen.execute(f"TABLE taskbound.{table}".encode())
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            seen.execute(f"INSERT INTO taskbound.{table} DEFAULT VALUES".encode())


@pytest.mark.parametrize("table", sorted(LOG | RESTS | MINTS))
def test_a_broker_reads_what_is_minted_and_what_that_rests_on_and_writes_nothing(
    server: Server, name: str, table: str
) -> None:
    with server.connect(name, "broker") as seen:
        seen.execute(f"TABLE taskbound.{table}".encode())
        for statement in (
            f"INSERT INTO taskbound.{table} DEFAULT VALUES",
            f"DELETE FROM taskbound.{table}",  # noqa: S608  # our own names
            f"SELECT * FROM taskbound.{table} FOR UPDATE",  # noqa: S608  # our own names
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                seen.execute(statement.encode())


@pytest.mark.parametrize("table", sorted({one.name for one in METADATA.sorted_tables} - LOG - RESTS - MINTS))
def test_a_broker_can_not_read_what_is_neither(server: Server, name: str, table: str) -> None:
    with server.connect(name, "broker") as seen, pytest.raises(psycopg.errors.InsufficientPrivilege):
        seen.execute(f"TABLE taskbound.{table}".encode())


@pytest.mark.parametrize("table", REMOVED)
def test_a_daemon_removes_rows_only_where_a_row_comes_to_its_end(
    server: Server, name: str, table: str
) -> None:
    with server.connect(name, "daemon") as seen:
        seen.execute(f"DELETE FROM taskbound.{table}".encode())  # noqa: S608  # our own names


@pytest.mark.parametrize("table", sorted({one.name for one in METADATA.sorted_tables} - LOG - RESTS - SERVES))
def test_a_signer_can_not_read_what_is_neither(server: Server, name: str, table: str) -> None:
    with server.connect(name, "signer") as seen, pytest.raises(psycopg.errors.InsufficientPrivilege):
        seen.execute(f"TABLE taskbound.{table}".encode())


def test_a_daemon_forgets_what_was_used_and_keeps_how_far_it_did(server: Server, name: str) -> None:
    used = claim_of(SPACE, ClaimKind.DPOP, "key", "jti", until=Instant(NOW))
    with closing(PostgresStore(server.url(name, "daemon"))) as store:
        for one in (used, replace(used, until=Instant(NOW + 1))):
            store.write(lambda tx, one=one: tx.claims.use([one]))  # type: ignore[misc] # bound at once
            assert store.write(lambda tx: tx.claims.sweep(Instant(NOW + 2), limit=9)) == 1
        assert store.write(lambda tx: tx.claims.use([replace(used, until=Instant(NOW + 1))])) == (Use.LATE,)


def test_a_role_that_is_no_member_reads_nothing(server: Server, name: str) -> None:
    with server.connect(name) as admin:
        admin.execute("DROP ROLE IF EXISTS nobody_of_ours")
        admin.execute("CREATE ROLE nobody_of_ours LOGIN")
    with server.connect(name, "nobody_of_ours") as seen, pytest.raises(psycopg.errors.InsufficientPrivilege):
        seen.execute("SELECT * FROM taskbound.records")


def test_what_everybody_was_given_is_taken_away_by_the_next_upgrade(server: Server, name: str) -> None:
    with server.connect(name) as admin:
        admin.execute("DROP ROLE IF EXISTS nobody_of_ours")
        admin.execute("CREATE ROLE nobody_of_ours LOGIN")
        admin.execute("GRANT ALL ON SCHEMA taskbound TO PUBLIC")
        admin.execute("GRANT ALL ON ALL TABLES IN SCHEMA taskbound TO PUBLIC")
        with server.connect(name, "nobody_of_ours") as seen:
            assert seen.execute("SELECT count(*) FROM taskbound.records").fetchone() == (0,)
        upgrade_database(server.url(name, "owner"))
        has = "SELECT has_schema_privilege('nobody_of_ours', 'taskbound', %s)"
        assert [admin.execute(has, (right,)).fetchone() for right in ("USAGE", "CREATE")] == [(False,)] * 2
        held = (
            "SELECT count(*) FROM pg_class WHERE relnamespace = 'taskbound'::regnamespace AND relkind = 'r'"
            " AND has_table_privilege('nobody_of_ours', oid, 'SELECT, INSERT, UPDATE, DELETE')"
        )
        assert admin.execute(held).fetchone() == (0,)


def test_every_table_has_its_rights_written_down() -> None:
    assert set(GROUPS[DAEMON]) == {*METADATA.tables, "numbering"}


def wrong(server: Server, name: str, role: str = "daemon") -> list[str]:
    return [one.text for one in examine_database(server.url(name, role)) if not one.well]


def test_a_database_as_an_upgrade_leaves_it_has_nothing_wrong(server: Server, name: str) -> None:
    assert wrong(server, name) == []


def test_a_right_too_many_and_one_too_few_are_named_until_the_next_upgrade(server: Server, name: str) -> None:
    with server.connect(name) as admin:
        admin.execute("GRANT DELETE ON taskbound.records TO taskbound_daemon")
        admin.execute("GRANT UPDATE (arguments) ON taskbound.actions TO taskbound_daemon")
        admin.execute("REVOKE SELECT ON taskbound.tiles FROM taskbound_signer")
        admin.execute("GRANT INSERT ON taskbound.targets TO taskbound_broker")
    assert wrong(server, name) == [
        "`taskbound_signer` lacks SELECT on `tiles`",
        "`taskbound_broker` has INSERT on `targets`, which it does not need",
        "`taskbound_daemon` has UPDATE (arguments) on `actions`, which it does not need",
        "`taskbound_daemon` has DELETE on `records`, which it does not need",
    ]
    upgrade_database(server.url(name, "owner"))
    assert wrong(server, name) == []


def test_a_daemons_role_that_can_do_more_than_it_needs_is_named(server: Server, name: str) -> None:
    (text,) = wrong(server, name, "owner")
    assert "is a superuser" in text
    assert "owns the tables" in text


@pytest.mark.parametrize("decision", ["refuse", "hold", "permit"])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE taskbound.actions SET decision = 'permit'",
        "UPDATE taskbound.actions SET charges = '[]'",
        "UPDATE taskbound.actions SET connection = 'con_9'",
    ],
)
def test_a_daemon_can_change_of_what_was_decided_only_that_what_is_held_is_permitted(
    server: Server, name: str, decision: str, statement: str
) -> None:
    store = PostgresStore(server.url(name))
    rows.insert(store, rows.action(1, decision=decision))
    store.close()
    with server.connect(name, "daemon") as seen:
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="what was decided does not change"):
            seen.execute(statement.encode())
        seen.execute("UPDATE taskbound.actions SET note = 'more'")

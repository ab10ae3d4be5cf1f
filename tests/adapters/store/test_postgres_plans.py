"""By which index PostgreSQL finds credentials, among 10,000 living in one target and more that are over."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import pytest

from taskbound.adapters.store.postgres.rows import PostgresCredentials
from taskbound.adapters.store.postgres.server.link import PostgresLink, connect
from taskbound.core.clock import Instant
from taskbound.core.credential import LIVE, CredentialState
from tests.contracts.store.rows import NOW, SPACE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from taskbound.adapters.store.sql.rows import Value
    from tests.postgres import Server

T = TypeVar("T")

ROWS = f"""
    INSERT INTO taskbound.credentials SELECT '{SPACE}', 'crd_' || lpad(n::text, 35, 'a'),
        CASE WHEN n > 20000 THEN 'mail' ELSE 'db' END, 'reader', '1', 'tsk_' || n / 5, 'coder', 'act', '', '',
        CASE WHEN n % 2 = 0 THEN 'active' ELSE 'revoked' END, {NOW}, {NOW},
        CASE WHEN n % 2 = 0 THEN {NOW} + n ELSE 0 END, 0, 0, 0, 1, 0, '', 0, '', 0, 1, 1
    FROM generate_series(1, 25000) n
"""  # noqa: S608 - our own words


class Explained(PostgresLink):
    """A link that asks how a statement would be run, and reads nothing."""

    __slots__ = ("plan",)

    def all(self, read: Callable[..., T], text: str, values: Sequence[Value] = ()) -> tuple[T, ...]:  # noqa: ARG002 - nothing is read
        self.plan = "\n".join(str(line) for (line,) in self.rows(f"EXPLAIN {text}", values))
        return ()


@pytest.fixture(scope="module")
def explained(server: Server) -> Iterator[Explained]:
    name = server.database()
    with server.connect(name) as admin:
        admin.execute(ROWS.encode())
        admin.execute(b"ANALYZE taskbound.credentials")
    connection = connect(server.url(name), application="test")
    yield Explained(connection, writes=False)
    connection.close()
    server.drop(name)


FOUND: dict[str, tuple[Callable[[PostgresCredentials], object], str]] = {
    "due": (lambda it: it.due(SPACE, "db", Instant(NOW + 50), limit=20), "credentials_due"),
    "all due": (lambda it: it.due(SPACE, "db", Instant(NOW + 90_000), limit=20), "credentials_due"),
    "due beside": (
        lambda it: it.due_beside(SPACE, "db", Instant(NOW + 50), {"helper"}, limit=4),
        "credentials_due",
    ),
    "due alive": (lambda it: it.due_alive(SPACE, "db", Instant(NOW + 50), limit=20), "credentials_living"),
    "alive in a target": (lambda it: it.alive_in(SPACE, "db", limit=5), "credentials_living"),
    "overdue": (lambda it: it.overdue(SPACE, Instant(NOW), limit=20), "credentials_revoking"),
    "of a task": (lambda it: it.credentials(SPACE, task="tsk_7", states=LIVE), "credentials_by_task"),
    "revoking": (
        lambda it: it.credentials(SPACE, target="mail", states={CredentialState.REVOKING}),
        "credentials_",
    ),
    "of a target": (lambda it: it.credentials(SPACE, target="mail"), "credentials_"),
    "all": (lambda it: it.credentials(SPACE, limit=20), "credentials_pkey"),
}


@pytest.mark.parametrize("what", FOUND)
def test_i59_no_look_at_credentials_reads_them_all_or_sorts_them(explained: Explained, what: str) -> None:
    read, index = FOUND[what]
    read(PostgresCredentials(explained))
    assert f"using {index}" in explained.plan
    assert "Seq Scan" not in explained.plan
    if what in {"due", "all due", "overdue", "all"}:
        assert "Sort" not in explained.plan

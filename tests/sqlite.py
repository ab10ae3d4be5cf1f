"""SQLite stores of the tests' own: files in memory, copied from a template that each process makes once.

They are opened as the product opens them, with the same durability settings.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack, closing, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from taskbound.adapters.store.postgres import PostgresStore
from taskbound.adapters.store.postgres.server.link import SCHEMA
from taskbound.adapters.store.sql import SqlStore
from taskbound.adapters.store.sql.sqlite.driver import driver
from tests.memory import memory_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.ports.store import Store


_RESERVE = 4096
_open: list[ExitStack] = []


@contextmanager
def closing_stores() -> Iterator[None]:
    """Closes each store that `sqlite_store` opens in this context, in any thread."""
    with ExitStack() as opened:
        _open.append(opened)
        try:
            yield
        finally:
            _open.remove(opened)


def sqlite_store(path: Path | None = None) -> SqlStore:
    """A store that is closed at the end of the test, or of the session where a wider fixture opened it.

    Args:
        path: Its file, which is made if it does not exist; a file of its own in memory if not given.
    """
    opened = _open[-1]
    if path is None:
        folder = Path(tempfile.mkdtemp(prefix="taskbound-", dir=memory_folder()))
        opened.callback(shutil.rmtree, folder)
        path = folder / "t.db"
    if not path.exists():
        path.write_bytes(_template())
        path.chmod(0o600)
    return opened.enter_context(closing(SqlStore(path, reserve=_RESERVE)))


def edit(store: Store, statement: str, *values: object) -> None:
    """Change rows of a database as an attacker does who can write to it; in a file past every trigger."""
    if isinstance(store, PostgresStore):
        with psycopg.connect(store._url, user="owner", options=f"-c search_path={SCHEMA}") as server:  # noqa: SLF001 - as below
            assert server.execute(statement.replace("?", "%s").encode(), values).rowcount >= 1
        return
    assert isinstance(store, SqlStore)
    path = store._files.path  # noqa: SLF001 - the file is no secret from its attacker
    with closing(driver.connect(path, isolation_level=None)) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        assert connection.execute(statement, values).rowcount >= 1


@cache
def _template() -> bytes:
    """An empty database; all of it is in its file once it is closed."""
    with tempfile.TemporaryDirectory(prefix="taskbound-", dir=memory_folder()) as folder:
        path = Path(folder, "t.db")
        SqlStore(path, reserve=0).close()
        return path.read_bytes()

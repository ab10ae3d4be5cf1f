"""Opens an installation's store: SQLite in the data directory, or PostgreSQL."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from taskbound.core.errors import UnavailableError
from taskbound.ports.store import Store, StoreUnavailableError
from taskbound.wiring.settings import require_store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskbound.ports.store import Readable


DATABASE: Final = "taskbound.db"


class OpenedStore(Store, Protocol):
    """A store that reports whether it is still usable."""

    @property
    def failure(self) -> StoreUnavailableError | None:
        """Returns why the store is unusable until this process ends, or None."""

    def refuse(self, error: StoreUnavailableError) -> None:
        pass


class DriverMissingError(UnavailableError):
    """A PostgreSQL database is configured, but its driver is not installed."""

    code = "driver-missing"
    remedy = "from a checkout, into the environment of this process: `pip install '.[server,postgres]'`"


def _pass() -> None:
    pass


def open_store(
    database: Path, address: str, *, failed: Callable[[], None] = _pass, owned: Callable[[], None] = _pass
) -> OpenedStore:
    """Opens the daemon's store: SQLite, or PostgreSQL if `address` is not empty.

    `failed` is called when the store becomes unusable in this process (a lost server connection is retried).
    `owned` is called for SQLite once the file is locked and before it is opened; an exception stops the
    opening.
    """
    if not address:
        return _open_sqlite(database, failed, owned)
    require_store(address)
    try:
        from taskbound.adapters.store.postgres import PostgresStore  # noqa: PLC0415 -- as above
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    return PostgresStore(address, failed=failed)


def _open_sqlite(database: Path, failed: Callable[[], None], owned: Callable[[], None]) -> OpenedStore:
    """Opens the SQLite store and holds its lock until it is closed."""
    from taskbound.adapters.store.sql import SqlStore, hold_database  # noqa: PLC0415 -- only the one that is used

    try:
        held = hold_database(database)
    except OSError as error:
        raise StoreUnavailableError(f"`{database}` can't be opened: {error.strerror or error}") from error
    try:
        owned()
        return SqlStore(database, failed=failed, held=held)
    except BaseException:
        os.close(held)
        raise


def open_reader(database: str, address: str) -> Readable:
    """Opens the daemon's store read-only: the SQLite file, or PostgreSQL with a role that reads."""
    if address:
        return open_store(Path(), address)
    if not database:
        raise StoreUnavailableError("nothing says which database is to be read")
    from taskbound.adapters.store.sql import SqlReader  # noqa: PLC0415 -- only the one that is used

    return SqlReader(Path(database))


def upgrade(address: str, daemon: str, signer: str, broker: str) -> str:
    """Creates missing tables of a PostgreSQL database and grants rights; returns the revision.

    The address uses the owning role. The roles of daemons, signer and broker get memberships unless empty.
    """
    require_store(address)
    try:
        from taskbound.adapters.store.postgres.server.opening import (  # noqa: PLC0415 -- as above
            upgrade_database,
        )
        from taskbound.adapters.store.sql.schema.initial import REVISION  # noqa: PLC0415 -- as above
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    upgrade_database(address, daemon=daemon, signer=signer, broker=broker)
    return str(REVISION)


def examine(address: str) -> Sequence[tuple[bool, str]]:
    """Returns checks of a PostgreSQL database: whether each holds, and a sentence."""
    require_store(address)
    try:
        from taskbound.adapters.store.postgres.server.opening import (  # noqa: PLC0415 -- as above
            examine_database,
        )
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    return [(one.well, one.text) for one in examine_database(address)]


def _missing(error: ModuleNotFoundError) -> Exception:
    if error.name is None or error.name.split(".")[0] != "psycopg":
        return error
    from taskbound.surfaces.cli.extras import how_to_install  # noqa: PLC0415 -- only where it is missing

    return DriverMissingError(
        "the driver of PostgreSQL is not installed", remedy=f"`{how_to_install('postgres')}`"
    )

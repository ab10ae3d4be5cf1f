"""Which store an installation has: SQLite in its data directory, or a PostgreSQL database."""

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
    """A store, and whether it still can be one."""

    @property
    def failure(self) -> StoreUnavailableError | None:
        """Why it refuses everything until this process ends; None as long as it does not."""

    def refuse(self, error: StoreUnavailableError) -> None:
        """Refuse everything from now on, with this."""


class DriverMissingError(UnavailableError):
    """The settings name a PostgreSQL database, and its driver is not installed."""

    code = "driver-missing"
    remedy = "from a checkout, into the environment of this process: `pip install '.[server,postgres]'`"


def _pass() -> None:
    """Tell nobody."""


def open_store(
    database: Path, address: str, *, failed: Callable[[], None] = _pass, owned: Callable[[], None] = _pass
) -> OpenedStore:
    """The store of a daemon.

    Args:
        database: The SQLite file.
        address: Of a PostgreSQL database; empty for SQLite.
        failed: Told when the store can be used no more in this process; a lost server comes back.
        owned: Asked, for SQLite, once no other process has the file in use or moves it, and before it is
            opened; what it raises ends the opening.

    Raises:
        DatabaseInUseError: Another process has the file in use.
        UnavailableError: It can't be opened.
        BadSettingError: The address is none, or holds a password.
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
    """The SQLite store, which keeps everybody else from the file until it is closed."""
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
    """The store of a daemon, for a process that only reads it.

    Args:
        database: The daemon's SQLite file; empty where it has none.
        address: Of a PostgreSQL database, as a role that reads; empty for none.

    Raises:
        UnavailableError: It can't be opened, or nothing says where it is.
        BadSettingError: The address is none, or holds a password.
    """
    if address:
        return open_store(Path(), address)
    if not database:
        raise StoreUnavailableError("nothing says which database is to be read")
    from taskbound.adapters.store.sql import SqlReader  # noqa: PLC0415 -- only the one that is used

    return SqlReader(Path(database))


def upgrade(address: str, daemon: str, signer: str, broker: str) -> str:
    """Make the tables of a PostgreSQL database that has none, and grant what is needed; the revision.

    Args:
        address: Of the database, as the role that owns it.
        daemon: The role that daemons log in with, made a member; empty for none.
        signer: The same for the signer.
        broker: The same for the broker.

    Raises:
        UnavailableError: It can't be done.
        BadSettingError: The address is none, or holds a password.
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
    """How a PostgreSQL database stands: whether each thing is as it should be, and in words.

    Raises:
        UnavailableError: It can't be looked at.
        BadSettingError: The address is none, or holds a password.
    """
    require_store(address)
    try:
        from taskbound.adapters.store.postgres.server.opening import (  # noqa: PLC0415 -- as above
            examine_database,
        )
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    return [(one.well, one.text) for one in examine_database(address)]


def _missing(error: ModuleNotFoundError) -> Exception:
    """Our error, when it is the driver that is missing."""
    if error.name is None or error.name.split(".")[0] != "psycopg":
        return error
    from taskbound.surfaces.cli.extras import how_to_install  # noqa: PLC0415 -- only where it is missing

    return DriverMissingError(
        "the driver of PostgreSQL is not installed", remedy=f"`{how_to_install('postgres')}`"
    )

"""What a data directory has seen of its log, and whether a restore is over: kept outside of the store (I-15).

1. `log-seen` holds the newest checkpoint that a daemon of this directory saw: name, size and root, by one
   line. It is replaced whole and durable, and only ever by a larger one while a daemon runs.
2. A file that can't be read is no reason to believe a store: nothing starts before a person said what counts.
3. A directory without it has seen nothing yet: a new one, or one of an older version.
4. `log-behind` says why a daemon of this directory found that the store lacks something, from the moment in
   which it did: what only that daemon knew, its own last commits, is known to no other. No daemon starts
   while it is there.
5. `log-begun` is the newest word that another store counts (`store-begun-anew`) which this directory knows,
   by its hash. A daemon looks for it, at its start, in what this directory had not seen yet, which is all of
   the log where it has seen nothing.
6. While `NAME-restoring` lies beside the database a restore was begun and did not come to its end: no
   daemon starts, or it would make a new database where the old one is aside and the copy is not there yet.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from taskbound.core.audit import TamperedError, parse_checkpoint
from taskbound.core.errors import UnavailableError
from taskbound.flows.audit.restored import last_begun, require_held
from taskbound.ports.store import StoreBehindError, StoreUnavailableError
from taskbound.wiring.store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from taskbound.core.audit import Checkpoint
    from taskbound.wiring.store import OpenedStore


_FILE: Final = "log-seen"
_DOUBT: Final = "log-behind"
_BEGUN: Final = "log-begun"
_LONGEST: Final = 500
_LIMIT: Final = 4096


class RestoreUnfinishedError(UnavailableError):
    """A restore was begun and did not come to its end: neither database is in place for sure."""

    code = "restore-unfinished"
    remedy = "run `taskbound db restore` again with the same file: it goes on where it ended"


class Seen:
    """The newest checkpoint that daemons of a data directory saw; used from one thread at a time."""

    def __init__(self, home: Path) -> None:
        """Read what is there.

        Raises:
            StoreBehindError: It can't be read (rule 2).
        """
        self._path = home / _FILE
        self._doubt = home / _DOUBT
        self._newest = _read(self._path)

    @property
    def newest(self) -> Checkpoint | None:
        """What was seen; None for nothing yet (rule 3)."""
        return self._newest

    @property
    def doubt(self) -> str:
        """Why the store is not believed (rule 4); empty where it is."""
        try:
            return self._doubt.read_bytes().decode("utf-8", "replace").strip() or "nobody knows why"
        except FileNotFoundError:
            return ""
        except OSError as error:
            return f"`{self._doubt}` can't be read: {error.strerror}"

    def condemn(self, why: str) -> None:
        """Write down that the store lacks something (rule 4). Safe from any thread.

        Raises:
            StoreUnavailableError: It can't be made durable.
        """
        try:
            replace_durably(self._doubt, f"{why[:_LONGEST]}\n".encode())
        except OSError as error:
            raise StoreUnavailableError(f"`{self._doubt}` can't be written: {error.strerror}") from error

    def see(self, checkpoint: Checkpoint) -> None:
        """Remember it, where it is larger than what was seen (rule 1).

        Raises:
            StoreUnavailableError: It can't be made durable.
        """
        if self._newest is not None and checkpoint.size <= self._newest.size:
            return
        try:
            replace_durably(self._path, checkpoint.text.encode())
        except OSError as error:
            raise StoreUnavailableError(f"`{self._path}` can't be written: {error.strerror}") from error
        self._newest = checkpoint


def read_begun(home: Path) -> str:
    """The newest word that another store counts which this directory knows (rule 5); empty for none.

    Raises:
        StoreUnavailableError: It can't be read.
    """
    try:
        return (home / _BEGUN).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise StoreUnavailableError(f"`{home / _BEGUN}` can't be read: {error}") from error


def forget(home: Path, instead: str, begun: str) -> None:
    """Have this text as what was seen, and no doubt any more: a person said that another store counts.

    Args:
        home: The data directory.
        instead: The log as that store has it.
        begun: What says so in it (rule 5); written first, so that it is not believed twice.

    Raises:
        OSError: It can't be made durable.
    """
    replace_durably(home / _BEGUN, f"{begun}\n".encode("ascii"))
    replace_durably(home / _FILE, instead.encode())
    (home / _DOUBT).unlink(missing_ok=True)
    sync_folder(home)


def open_believed(
    home: Path, database: Path, address: str, *, failed: Callable[[], None]
) -> tuple[OpenedStore, Seen]:
    """The store of a daemon, which holds all that its data directory has seen, and what that is.

    Args:
        home: The data directory.
        database: The SQLite file.
        address: Of a PostgreSQL database; empty for SQLite.
        failed: Told when the store can be used no more in this process.

    Raises:
        StoreBehindError: It does not hold it.
        RestoreUnfinishedError: A restore of it was begun meanwhile, and is not over.
        UnavailableError: It can't be opened.
    """
    seen = Seen(home)
    if seen.doubt:
        raise StoreBehindError(f"a daemon found it before: {seen.doubt}")  # 4
    opened: list[OpenedStore] = []

    def note() -> None:
        why = opened[0].failure if opened else None
        try:
            if isinstance(why, StoreBehindError):
                seen.condemn(why.message)  # 4
        finally:
            failed()

    store = open_store(database, address, failed=note, owned=lambda: require_no_restore(database))  # 6
    opened.append(store)
    try:
        if seen.newest is not None:
            require_held(store, seen.newest)
        _note_begun(home, store, seen.newest.size if seen.newest is not None else 0)
    except BaseException:
        store.close()
        raise
    return store, seen


def _note_begun(home: Path, store: OpenedStore, start: int) -> None:
    """Know what this directory has not seen yet and is about to believe (rule 5)."""
    with store.read() as snapshot:
        begun = last_begun(snapshot.audit, start)
    if begun and begun != read_begun(home):
        try:
            replace_durably(home / _BEGUN, f"{begun}\n".encode("ascii"))
        except OSError as error:
            raise StoreUnavailableError(f"`{home / _BEGUN}` can't be written: {error.strerror}") from error


def replace_durably(path: Path, data: bytes) -> None:
    """Put a private file in this place, whole and durable or not at all.

    Raises:
        OSError: It can't be written; what was there is there still.
    """
    fresh = path.with_name(f"{path.name}.new")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        rest = memoryview(data)
        while rest:  # a disk that is nearly full takes a part, and says no to the rest
            rest = rest[os.write(handle, rest) :]
        os.fsync(handle)
    finally:
        os.close(handle)
    fresh.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make durable what was put into a folder or taken out of it.

    Raises:
        OSError: It can't be.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def journal_of(database: Path) -> Path:
    """Where it is written down that a restore of this database was begun (rule 6)."""
    return database.with_name(f"{database.name}-restoring")


def require_no_restore(database: Path) -> None:
    """Go on only where no restore was begun that is not over (rule 6).

    Raises:
        RestoreUnfinishedError: One was.
    """
    if os.path.lexists(journal_of(database)):
        raise RestoreUnfinishedError(f"a restore of `{database}` was begun and is not over")


def _read(path: Path) -> Checkpoint | None:
    try:
        with path.open("rb") as file:
            data = file.read(_LIMIT)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreBehindError(f"what was seen of the log can't be read: {error.strerror}") from error
    try:
        return parse_checkpoint(data.decode())
    except (TamperedError, UnicodeDecodeError) as error:
        raise StoreBehindError(f"`{path}`, what was seen of the log, is damaged") from error

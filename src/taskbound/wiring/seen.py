"""What a data directory has seen of its log, and the state of restores; kept outside the store (I-15).

1. `log-seen` has the newest checkpoint that a daemon of this directory saw: name, size, root. It is replaced
   atomically and durably and only grows while a daemon runs.
2. If the file can't be read, no daemon starts until a person decides which store counts.
3. A directory without it is new or was made by an older version.
4. `log-behind` says why a daemon found that the store lacks records. It is written at detection, because only
   that daemon may know its last commits. While it exists, no daemon starts.
5. `log-begun` has the hash of the newest `store-begun-anew` record known here. At start, a daemon looks for
   such records in the part of the log that this directory has not seen yet.
6. While `NAME-restoring` lies beside the database, a restore is unfinished and no daemon starts; otherwise it
   could create a new database between the two moves.
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
    """A restore was begun and not finished; neither database is reliably in place."""

    code = "restore-unfinished"
    remedy = "run `taskbound db restore` again with the same file: it goes on where it ended"


class Seen:
    """The newest checkpoint that this data directory's daemons saw; not safe for concurrent use."""

    def __init__(self, home: Path) -> None:
        """Reads the files; raises StoreBehindError if they are unreadable (rule 2)."""
        self._path = home / _FILE
        self._doubt = home / _DOUBT
        self._newest = _read(self._path)

    @property
    def newest(self) -> Checkpoint | None:
        """Returns the seen checkpoint, or None (rule 3)."""
        return self._newest

    @property
    def doubt(self) -> str:
        """Returns why the store is in doubt (rule 4), or ''."""
        try:
            return self._doubt.read_bytes().decode("utf-8", "replace").strip() or "the reason is unknown"
        except FileNotFoundError:
            return ""
        except OSError as error:
            return f"`{self._doubt}` can't be read: {error.strerror}"

    def condemn(self, why: str) -> None:
        """Records that the store lacks something (rule 4). Safe from any thread."""
        try:
            replace_durably(self._doubt, f"{why[:_LONGEST]}\n".encode())
        except OSError as error:
            raise StoreUnavailableError(f"`{self._doubt}` can't be written: {error.strerror}") from error

    def see(self, checkpoint: Checkpoint) -> None:
        """Records the checkpoint durably if it is larger (rule 1); raises StoreUnavailableError."""
        if self._newest is not None and checkpoint.size <= self._newest.size:
            return
        try:
            replace_durably(self._path, checkpoint.text.encode())
        except OSError as error:
            raise StoreUnavailableError(f"`{self._path}` can't be written: {error.strerror}") from error
        self._newest = checkpoint


def read_begun(home: Path) -> str:
    """Returns the hash of the newest known `store-begun-anew` record (rule 5), or ''."""
    try:
        return (home / _BEGUN).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise StoreUnavailableError(f"`{home / _BEGUN}` can't be read: {error}") from error


def forget(home: Path, instead: str, begun: str) -> None:
    """Replaces the seen checkpoint and clears doubt, after a person accepted another store.

    `begun` is written first, so that the same record is not accepted twice (rule 5).
    """
    replace_durably(home / _BEGUN, f"{begun}\n".encode("ascii"))
    replace_durably(home / _FILE, instead.encode())
    (home / _DOUBT).unlink(missing_ok=True)
    sync_folder(home)


def open_believed(
    home: Path, database: Path, address: str, *, failed: Callable[[], None]
) -> tuple[OpenedStore, Seen]:
    """Opens the daemon's store and verifies that it has everything this directory has seen.

    `failed` is called when the store becomes unusable in this process. An empty `address` means SQLite.
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
    with store.read() as snapshot:
        begun = last_begun(snapshot.audit, start)
    if begun and begun != read_begun(home):
        try:
            replace_durably(home / _BEGUN, f"{begun}\n".encode("ascii"))
        except OSError as error:
            raise StoreUnavailableError(f"`{home / _BEGUN}` can't be written: {error.strerror}") from error


def replace_durably(path: Path, data: bytes) -> None:
    """Replaces a private file atomically and durably; on OSError the old file is unchanged."""
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
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def journal_of(database: Path) -> Path:
    return database.with_name(f"{database.name}-restoring")


def require_no_restore(database: Path) -> None:
    """Raises RestoreUnfinishedError if a restore is unfinished (rule 6)."""
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

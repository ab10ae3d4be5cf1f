"""Backups of a store: a database file and a manifest (`taskbound db backup`).

1. A copy is one state of the store, at one position of its log. It gets its final name only after it is
   written, synced and verified: every page and index, and the log recomputed from its records.
2. No existing file is overwritten. A partial file of a killed process blocks nothing and is removed by the
   next backup.
3. The manifest `NAME.manifest.json` is written before the copy is named and has its SHA-256, which also
   detects changes to rows that the log doesn't cover. An attacker who can write both files can change both;
   the log's origin is proven by the log's key at restore.
4. The newest copy of a data directory is recorded there in `newest-copy`.
5. A copy contains what the store contains: names, call arguments, approval requests. Only the account may
   read it. It contains no key, and admin access only in sealed form.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound import __version__
from taskbound.core.errors import MalformedError, UnavailableError
from taskbound.flows.audit.restored import require_whole_log
from taskbound.ports.store import FullDiskError, StoreUnavailableError
from taskbound.surfaces.cli.plugs import Copies
from taskbound.wiring.seen import (
    RestoreUnfinishedError,
    replace_durably,
    require_no_restore,
    sync_folder,
)
from taskbound.wiring.store import DATABASE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from taskbound.flows.audit.restored import WholeLog


SQLITE: Final = "sqlite"
POSTGRES: Final = "postgresql"
_NEWEST: Final = "newest-copy"
_PIECE: Final = 1 << 20
_LIMIT: Final = 1 << 20
_NO_LINKS: Final = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class CopyExistsError(MalformedError):
    """A file with the copy's name exists."""

    code = "copy-exists"
    remedy = "name another file: a copy is never written over one"


class CopyBrokenError(UnavailableError):
    """A copy does not match its manifest, or has no manifest."""

    code = "copy-broken"
    remedy = "take another copy: this one is not put back"


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Describes the contents of a copy."""

    format: str
    v: int
    software: str
    """What made it."""
    engine: str
    """`sqlite` or `postgresql`."""
    revision: str
    """Of its tables."""
    made: int
    """Instant, microseconds since 1970, by the clock of who made it."""
    records: int
    size: int
    """Records with a place in the log: where in it the copy was made."""
    root: str
    """Of these records, in hexadecimal."""
    origin: str
    """The log's name, which is its epoch; empty where nothing was signed yet."""
    covered: int
    """Records that the newest checkpoint covers."""
    checkpoint: str
    """It, as a signed note."""
    bytes: int
    sha256: str


class NewestCopy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Identifies the newest copy (rule 4)."""

    path: str
    made: int
    """Instant, microseconds since 1970."""
    sha256: str


def remember_copy(home: Path, copy: Path, manifest: Manifest) -> None:
    """Records in the data directory that this is the newest copy."""
    newest = NewestCopy(path=str(copy), made=manifest.made, sha256=manifest.sha256)
    try:
        replace_durably(home / _NEWEST, msgspec.json.encode(newest))
    except OSError as error:
        raise StoreUnavailableError(
            f"the copy `{copy}` is made and whole, but that can't be written down: {error.strerror or error}"
        ) from error


def newest_copy(home: Path) -> NewestCopy | None:
    """Returns the newest copy of this data directory, or None."""
    path = home / _NEWEST
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(_LIMIT), type=NewestCopy)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise CopyBrokenError(f"`{path}`, which copy was made last, can't be read") from error


def look_at_copies(home: Path) -> Copies:
    unfinished = trouble = ""
    try:
        require_no_restore(home / DATABASE)
    except RestoreUnfinishedError as error:
        unfinished = error.message
    try:
        newest = newest_copy(home)
    except CopyBrokenError as error:
        newest, trouble = None, error.message
    if newest is None:
        return Copies(unfinished=unfinished, trouble=trouble)
    path = Path(newest.path)
    try:
        there = path.is_file() and read_manifest(path).sha256 == newest.sha256
    except CopyBrokenError:
        there = False
    return Copies(path=newest.path, made=newest.made, there=there, unfinished=unfinished)


def manifest_of(copy: Path) -> Path:
    return copy.with_name(f"{copy.name}.manifest.json")


def back_up_sqlite(database: Path, to: Path, now: int, told: Callable[[int, int], None]) -> Manifest:
    """Copies a SQLite database, which may be in use, to a file in an existing folder.

    `told` gets the number of copied pages and the total. Raises CopyExistsError if the name is taken,
    TamperedError if the log is incomplete, UnavailableError after an I/O error.
    """
    from taskbound.adapters.store.sql.sqlite.copying import (  # noqa: PLC0415 -- only the one that is used
        copy_database,
        look_at_copy,
    )

    def make(fresh: Path) -> WholeLog:
        copy_database(database, fresh, told)
        with look_at_copy(fresh) as snapshot:
            return require_whole_log(snapshot.audit)

    return write_copy(to, make, SQLITE, now)


def back_up_postgres(address: str, to: Path, now: int, environ: Mapping[str, str]) -> Manifest:
    """Copies a PostgreSQL database with the server's own tools; arguments and errors as `back_up_sqlite`.

    The address must use a role that can read everything; `environ` is given to libpq.
    """
    from taskbound.adapters.store.postgres.server.dumping import (  # noqa: PLC0415 -- only the one that is used
        dump_database,
    )

    def make(fresh: Path) -> WholeLog:
        seen: list[WholeLog] = []
        dump_database(address, fresh, environ, lambda audit: seen.append(require_whole_log(audit)))
        return seen[0]

    return write_copy(to, make, POSTGRES, now)


def write_copy(to: Path, make: Callable[[Path], WholeLog], engine: str, now: int) -> Manifest:
    """Makes a copy and names it once it is complete (rules 1 to 3).

    `make` must write the named, not yet existing file durably and return the log that it contains.
    """
    from taskbound.adapters.store.sql.schema.initial import REVISION  # noqa: PLC0415 -- a command that is rare

    fresh = to.with_name(f".{to.name}.part")
    try:
        with _alone(to.parent):
            if os.path.lexists(to):
                raise CopyExistsError(f"there is something at `{to}` already")
            fresh.unlink(missing_ok=True)  # 2
            try:
                whole = make(fresh)
                size, digest = digest_of(fresh)
                found = Manifest(
                    format="taskbound-copy",
                    v=1,
                    software=f"taskbound {__version__}",
                    engine=engine,
                    revision=str(REVISION),
                    made=now,
                    records=whole.records,
                    size=whole.size,
                    root=whole.root.hex(),
                    origin=whole.origin,
                    covered=whole.covered,
                    checkpoint=whole.checkpoint,
                    bytes=size,
                    sha256=digest,
                )
                data = msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n"
                replace_durably(manifest_of(to), data)  # 3
                _name(fresh, to)
            finally:
                with suppress(OSError):
                    fresh.unlink(missing_ok=True)
    except OSError as error:
        kind = FullDiskError if error.errno in FULL else StoreUnavailableError
        raise kind(f"the copy `{to}` can't be written: {error.strerror or error}") from error
    return found


def read_manifest(copy: Path) -> Manifest:
    """Returns the manifest beside a copy; raises CopyBrokenError if it is missing or malformed."""
    path = manifest_of(copy)
    try:
        with path.open("rb") as file:
            data = file.read(_LIMIT)
        found = msgspec.json.decode(data, type=Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise CopyBrokenError(f"`{path}`, the manifest of the copy, can't be read") from error
    if (found.format, found.v) != ("taskbound-copy", 1):
        raise CopyBrokenError(f"`{path}` is no manifest that this version knows")
    return found


def digest_of(path: Path) -> tuple[int, str]:
    """Returns the length of a file and its SHA-256 in hexadecimal."""
    digest, size = sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
            size += len(piece)
    return size, digest.hexdigest()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreUnavailableError(
                f"another copy is being made in `{folder}`", remedy="wait until it is, or use another folder"
            ) from None
        yield
    finally:
        os.close(handle)


def _name(fresh: Path, to: Path) -> None:
    try:
        to.hardlink_to(fresh)
    except FileExistsError:
        raise CopyExistsError(f"there is something at `{to}` already") from None
    except OSError as error:
        if error.errno not in _NO_LINKS or os.path.lexists(to):
            raise
        fresh.rename(to)  # a file system without links, such as that of a stick
    sync_folder(to.parent)

"""Why the store can't be read or written."""

from __future__ import annotations

from taskbound.core.errors import UnavailableError


class StoreUnavailableError(UnavailableError):
    """The store can't be read or written now."""

    code = "store-unavailable"


class UnreadableStoreError(StoreUnavailableError):
    """This account may not read the database."""

    code = "store-unreadable"
    remedy = (
        "put the database into a folder whose group may read it (`--database` and `--readers` of the daemon),"
        " or use PostgreSQL: see deploy/README.md"
    )


class ConflictError(UnavailableError):
    """A row is not what it was when it was read: run the work again."""

    code = "conflict"


class AmbiguousCommitError(UnavailableError):
    """The commit may or may not have happened: look it up, never assume."""

    code = "ambiguous-commit"


class FullDiskError(UnavailableError):
    """There is no space to record what would be allowed, so nothing is."""

    code = "full-disk"
    remedy = "free space on the disk that holds the data directory; tasks can still be ended"


class StoreBehindError(StoreUnavailableError):
    """The store does not hold what was seen of it: it was put back from a copy, replaced, or lost its end."""

    code = "store-behind"
    remedy = (
        "keep everything as it is, and look at what happened; then `taskbound db reconcile` goes on with what"
        " is there, and `taskbound db restore` with a copy: see docs/guides/backups.md"
    )


class ForeignDatabaseError(UnavailableError):
    """The file is a database, but not one of Taskbound."""

    code = "foreign-database"
    remedy = "name another data directory with `--home`"


class OtherRulesError(StoreUnavailableError):
    """Another daemon on this database has other base rules: it is of another version."""

    code = "other-rules"
    remedy = "end the daemons of the other version first"


class NewerDatabaseError(UnavailableError):
    """The database was made by a newer version."""

    code = "newer-database"
    remedy = "use that version, or a newer one"


class OlderDatabaseError(StoreUnavailableError):
    """The database has no tables of Taskbound, or those of a version before the first release."""

    code = "older-database"
    remedy = (
        "a PostgreSQL database without tables gets them by `taskbound db upgrade`; what a version before the"
        " first release made is not upgraded: use a new data directory or database"
    )


class AffectedLibraryError(UnavailableError):
    """The SQLite library can lose committed writes (WAL reset, fixed in 3.51.3, 3.50.7 and 3.44.6)."""

    code = "affected-sqlite"
    remedy = (
        "install what the extra `server` brings, whose `pysqlite3` has a fixed library: from a checkout"
        " `pip install '.[server]'`"
    )

"""Restores a store from a copy, and reconciles a store that lacks records that were seen (I-15, F45).

A restore (`taskbound db restore`) has these steps. If it is killed at any step, either the old database or
the copy is complete, and the same command finishes:

1. It holds the data directory's lock and the lock beside the database, which is never moved, so no daemon
   serves.
2. The copy is copied to `NAME-restore/` and verified there: digest, tables, log, and the log key's signature
   of the newest checkpoint.
3. There, before it is in use, everything that may have ended is ended (`flows.audit.anew`), and a stop is
   set.
4. The plan is written to `NAME-restoring` beside the database; from then on no daemon starts.
5. The old database and its files are moved to `NAME-before-…/`, then the copy into place. Nothing is deleted.
6. The log gets a new name if this directory chooses it, and the seen checkpoint becomes the copy's. Both form
   the epoch and are kept outside the database. Then the plan is removed.

A reconcile (`taskbound db reconcile`) does steps 3 and 6 on the existing database: a reloaded PostgreSQL
server, a promoted standby, or a replaced file. Of several daemons the first does it; the others only forget
what they had seen (`follow`), if the store says so and they have not followed yet.
"""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Final

from taskbound import __version__
from taskbound.adapters.clock.system import SystemChance, SystemClock, elapsed
from taskbound.core.audit import EMPTY_ROOT, make_verifier_key, parse_verifier_key
from taskbound.core.audit.note import Checkpoint
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, UnavailableError
from taskbound.flows.audit.restored import (
    StoreDeclaration,
    begin_anew,
    holds,
    last_begun,
    require_whole_log,
    seen_of,
)
from taskbound.flows.audit.sequencing import LogFreshness, open_writer
from taskbound.flows.means import Actor, Adapters
from taskbound.ports.store import FullDiskError, StoreBehindError, StoreUnavailableError
from taskbound.wiring.copies import FULL, SQLITE, CopyBrokenError, digest_of, read_manifest
from taskbound.wiring.seen import Seen, forget, journal_of, read_begun, replace_durably, sync_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from taskbound.core.audit import VerifierKey
    from taskbound.flows.audit.restored import EndedCounts
    from taskbound.wiring.copies import Manifest
    from taskbound.wiring.store import OpenedStore


_RESTORED: Final = "the store was put back from a copy"
_REPLACED: Final = "the store lacks what was seen of it"
_PIECE: Final = 1 << 20
_ENDINGS: Final = ("", "-wal", "-shm", "-journal", "-mark", "-reserve")


class UnknownLogKeyError(UnavailableError):
    """The log's key is not known here, so the copy's checkpoint can't be verified."""

    code = "unknown-log-key"
    remedy = "name the log's key with `--key`, as you kept it elsewhere"


class NotBehindError(DeniedError):
    """The store has everything that was seen of it; there is nothing to reconcile."""

    code = "not-behind"
    remedy = "start the daemon"


class NotReconciledError(DeniedError):
    """The store lacks records that were seen, and was not reconciled yet."""

    code = "not-reconciled"
    remedy = "say `taskbound db reconcile` at one data directory first, and `--follow` at the others"


class OtherDaemonsError(UnavailableError):
    """Other daemons use the database."""

    code = "other-daemons"
    remedy = "end them first: each ends by itself once it sees what the database lacks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """Result of a restore."""

    manifest: Manifest | None
    """Of the copy; None where this run only finished what another one had begun."""
    begun: EndedCounts | None
    aside: str
    """Where the database of before is; empty where there was none."""
    origin: str
    """The log's name from here on; empty where it is given by hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """Result of a reconcile."""

    begun: EndedCounts | None
    """None where another data directory did it."""
    held: int
    seen: int
    origin: str


def _pass(_point: str) -> None:
    pass


def restore_sqlite(
    home: Path, database: Path, copy: Path, *, key: str = "", at: Callable[[str], None] = _pass
) -> Restored:
    """Replaces a SQLite database with a copy, or finishes an interrupted restore.

    The caller holds the data directory's lock. `key` is the log's vkey, by default that of this directory's
    signer. `at` is called after each step; an exception from it stops there.
    """
    from taskbound.adapters.store.sql import hold_database  # noqa: PLC0415 -- only the one that is used

    try:
        held = hold_database(database)  # 1
        try:
            return _put_back(home, database, copy, key, at)
        finally:
            os.close(held)
    except OSError as error:
        kind = FullDiskError if error.errno in FULL else StoreUnavailableError
        raise kind(f"the copy can't be put in place: {error.strerror or error}") from error


def _put_back(home: Path, database: Path, copy: Path, key: str, at: Callable[[str], None]) -> Restored:
    if os.path.lexists(journal_of(database)):
        aside, origin = _finish(home, database, at)
        return Restored(manifest=None, begun=None, aside=aside, origin=origin)
    manifest = read_manifest(copy)
    if manifest.engine != SQLITE:
        raise CopyBrokenError(
            f"`{copy}` is a copy of a {manifest.engine} database",
            remedy="load it with the server's own tools, then go on with `taskbound db reconcile`:"
            " see docs/guides/backups.md",
        )
    begun, origin = _prepare(home, database, copy, manifest, key, at)
    aside, _ = _finish(home, database, at)
    return Restored(manifest=manifest, begun=begun, aside=aside, origin=origin)


def _prepare(
    home: Path, database: Path, copy: Path, manifest: Manifest, key: str, at: Callable[[str], None]
) -> tuple[EndedCounts, str]:
    from taskbound.adapters.store.sql import SqlStore, lock_of  # noqa: PLC0415 -- only the one that is used

    work = _work(database)
    if work.exists():
        shutil.rmtree(work)  # of a run that was killed before step 4
    work.mkdir(mode=0o700)
    fresh = work / database.name
    _copy(copy, fresh)
    at("copied")
    if digest_of(fresh) != (manifest.bytes, manifest.sha256):
        raise CopyBrokenError(f"`{copy}` is not the copy that its manifest describes")
    _require_own_log(home, fresh, key, manifest)
    at("looked")
    origin = _new_name(home)
    known, _ = _known(home)
    store = SqlStore(fresh)
    try:
        told = StoreDeclaration(
            origin=origin, held=manifest.records, seen=known.size if known is not None else 0, why=_RESTORED
        )
        begun = _begin(store, told)
        with store.read() as snapshot:
            seen = seen_of(snapshot.audit, origin or manifest.origin or "none")
            said = last_begun(snapshot.audit)
    finally:
        store.close()
    lock_of(fresh).unlink()  # 1
    at("begun")
    sync_folder(work)
    aside = _free(database)
    journal = {"aside": aside.name, "origin": origin, "seen": seen.text, "begun": said, "moved": False}
    _write(journal_of(database), journal)  # 4
    at("noted")
    return begun, origin


def _finish(home: Path, database: Path, at: Callable[[str], None]) -> tuple[str, str]:
    note = journal_of(database)
    told = json.loads(note.read_bytes())
    work, aside = _work(database), database.with_name(told["aside"])
    if not told["moved"]:
        older = [one for one in _beside(database) if one != note]
        if older:
            aside.mkdir(mode=0o700, exist_ok=True)
        for one in older:
            one.rename(aside / one.name)
            at(f"aside {one.name}")
        sync_folder(database.parent)
        _write(note, {**told, "moved": True})
        at("moved")
    for one in sorted(work.iterdir()) if work.is_dir() else ():
        one.rename(database.with_name(one.name))
        at(f"placed {one.name}")
    sync_folder(database.parent)
    if told["origin"]:
        replace_durably(home / "log-origin", f"{told['origin']}\n".encode("ascii"))  # 6
        at("named")
    forget(home, told["seen"], told["begun"])
    at("seen")
    if work.is_dir():
        work.rmdir()
    note.unlink()
    sync_folder(database.parent)
    return (str(aside) if aside.is_dir() else ""), told["origin"]


def begin_here(home: Path, store: OpenedStore) -> Reconciled:
    """Reconciles the existing store (steps 3 and 6); the caller owns the data directory."""
    seen, doubted = _known(home)
    if not store.leads():
        raise OtherDaemonsError("another daemon gives records of this database their places")
    with store.read() as snapshot:
        if seen is not None and not doubted and holds(snapshot.audit, seen):
            raise NotBehindError(f"the store holds all {seen.size} records that this directory has seen")
        held = snapshot.audit.count()
    origin = _new_name(home)
    known = seen.size if seen is not None else 0
    begun = _begin(store, StoreDeclaration(origin=origin, held=held, seen=known, why=_REPLACED))
    _believe(home, store, origin)
    return Reconciled(begun=begun, held=held, seen=known, origin=origin)


def follow_here(home: Path, store: OpenedStore) -> Reconciled:
    """Forgets what this directory had seen of a store that another directory reconciled."""
    seen, doubted = _known(home)
    with store.read() as snapshot:
        if seen is None or (not doubted and holds(snapshot.audit, seen)):
            raise NotBehindError("the store holds all that this directory has seen")
        held, begun = snapshot.audit.count(), last_begun(snapshot.audit)
    if not begun or begun == read_begun(home):
        raise NotReconciledError("this store was not reconciled since this directory saw it")
    _believe(home, store, "")
    return Reconciled(begun=None, held=held, seen=seen.size, origin="")


def _begin(store: OpenedStore, told: StoreDeclaration) -> EndedCounts:
    from taskbound.adapters.approval.apart import ApartOperands  # noqa: PLC0415 -- a command that is rare
    from taskbound.adapters.approval.disk import DiskOperands  # noqa: PLC0415 -- as above
    from taskbound.adapters.monitor.local import LocalMonitor  # noqa: PLC0415 -- as above
    from taskbound.adapters.policy.cedar import ApartLanguage, base_bundle  # noqa: PLC0415 -- as above
    from taskbound.flows.policy import Policies  # noqa: PLC0415 -- as above
    from taskbound.wiring.verifiers import LaterSignatures, LaterSvids, LaterTokens  # noqa: PLC0415 -- as above

    chance = SystemChance()
    adapters = Adapters(
        store=store,
        clock=SystemClock(store.last_instant()),
        chance=chance,
        policy=Policies(store, ApartLanguage(), base_bundle()),
        monitor=LocalMonitor(),
        signatures=LaterSignatures(),
        svids=LaterSvids(),
        tokens=LaterTokens(),
        operands=DiskOperands(),
        far=ApartOperands(),
        freshness=LogFreshness(elapsed),  # never confirmed: what begins anew decides nothing
        writer=chance.name("wrt"),
    )
    open_writer(adapters, software=f"taskbound {__version__}")
    uid = os.geteuid()
    return begin_anew(adapters, told, Actor(name=f"uid:{uid}", proof=f"process-uid:{uid}"))


def _believe(home: Path, store: OpenedStore, origin: str) -> None:
    with store.read() as snapshot:
        known = snapshot.audit.checkpoint()
        name = origin or (known.note.split("\n", 1)[0] if known is not None else "none")
        now, begun = seen_of(snapshot.audit, name), last_begun(snapshot.audit)
    try:
        if origin:
            replace_durably(home / "log-origin", f"{origin}\n".encode("ascii"))
        forget(home, now.text, begun)
    except OSError as error:
        raise StoreUnavailableError(f"`{home}` can't be written: {error.strerror}") from error


def _require_own_log(home: Path, fresh: Path, key: str, manifest: Manifest) -> None:
    from taskbound.adapters.keys.ed25519 import verify_ed25519  # noqa: PLC0415 -- a command that is rare
    from taskbound.adapters.store.sql.sqlite.copying import look_at_copy  # noqa: PLC0415 -- as above

    with look_at_copy(fresh) as snapshot:
        whole = require_whole_log(snapshot.audit, key_of=key_of(home, key), verify=verify_ed25519)
    told = (manifest.size, manifest.root, manifest.checkpoint)
    if (whole.size, whole.root.hex(), whole.checkpoint) != told:
        raise CopyBrokenError("the copy holds another log than its manifest describes")


def key_of(home: Path, told: str) -> Callable[[str], VerifierKey]:
    """Returns the log's key by log name, from the given vkey or this directory's signer."""
    if told:
        known = parse_verifier_key(told)
        return lambda _: known
    from taskbound.adapters.keys.file import KeyDirectory  # noqa: PLC0415 -- a command that is rare

    if not (home / "signer").is_dir():
        raise UnknownLogKeyError("this data directory has no signer of its own")
    with KeyDirectory(home / "signer") as held:
        public = held.key.public
    return lambda origin: make_verifier_key(origin, public)


def _known(home: Path) -> tuple[Checkpoint | None, bool]:
    """Returns the seen checkpoint, and whether the store is in doubt whatever it contains."""
    try:
        seen = Seen(home)
    except StoreBehindError:
        return Checkpoint(origin="unknown", size=0, root=EMPTY_ROOT), True  # it can't be read
    return seen.newest, bool(seen.doubt)


def _new_name(home: Path) -> str:
    """Returns a new log name if this directory's signer signs the log; '' if the name is configured."""
    own = (home / "log-origin").exists() or (home / "signer").is_dir()
    return f"taskbound.local/{SystemChance().name('log')}" if own else ""


def _copy(copy: Path, to: Path) -> None:
    handle = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with copy.open("rb") as source, os.fdopen(handle, "wb") as target:
        shutil.copyfileobj(source, target, _PIECE)
        target.flush()
        os.fsync(target.fileno())


def _beside(database: Path) -> list[Path]:
    found = [database.with_name(f"{database.name}{end}") for end in _ENDINGS]
    return [one for one in found if os.path.lexists(one)]


def _free(database: Path) -> Path:
    number = 1
    while os.path.lexists(found := database.with_name(f"{database.name}-before-{number}")):
        number += 1
    return found


def _work(database: Path) -> Path:
    return database.with_name(f"{database.name}-restore")


def _write(path: Path, value: dict[str, object]) -> None:
    replace_durably(path, json.dumps(value).encode())

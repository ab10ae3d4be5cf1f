"""`taskbound db backup`, `restore` and `reconcile` for the command line.

1. Restore and reconcile hold the data directory's lock from start to end, and the lock of the SQLite file,
   which a daemon of another data directory may serve.
2. A later log (`taskbound audit export`) may list records that the store lacks. It is accepted only if signed
   by the log's key and continuing the store's log. It is reported and changes nothing: a person repeats what
   it names.
"""

from __future__ import annotations

import os
from contextlib import closing, contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Final

from taskbound.adapters.clock.system import SystemClock
from taskbound.adapters.keys.ed25519 import verify_ed25519
from taskbound.core.audit import (
    EMPTY_FRONTIER,
    ConsistencyWrongError,
    grow,
    leaf_hash,
    parse_header,
    parse_record,
    verify_export,
)
from taskbound.core.clock import Instant
from taskbound.ports.store import StoreUnavailableError
from taskbound.surfaces.cli.plugs import BackupReport, LaterRecord, RecoveryReport
from taskbound.wiring.copies import (
    back_up_postgres,
    back_up_sqlite,
    manifest_of,
    read_manifest,
    remember_copy,
)
from taskbound.wiring.daemon import hold_home
from taskbound.wiring.home import find_socket, make_home
from taskbound.wiring.restoring import begin_here, follow_here, key_of, restore_sqlite
from taskbound.wiring.seen import require_no_restore
from taskbound.wiring.settings import require_store
from taskbound.wiring.store import DATABASE, open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from taskbound.core.audit import Record
    from taskbound.surfaces.cli.plugs import CommandPlace
    from taskbound.wiring.copies import Manifest
    from taskbound.wiring.restoring import Reconciled, Restored


_UNTOLD: Final = frozenset(
    {
        "action-refused-malformed", "action-undecided", "amendment-shown", "approval-shown",
        "checkpoint-signed", "delivery", "operation-refused", "outcome-refused", "proof-refused",
        "refusals-dropped", "request-refused", "sign-in-refused", "token-issued", "writer-started",
    }
)  # fmt: skip  # a list of words reads better as words
"""What changed nothing, or what is over in any case."""
_LONGEST: Final = 200


def back_up(
    place: CommandPlace,
    to: str,
    *,
    store: str,
    database: str,
    told: Callable[[int, int], None],
    environ: Mapping[str, str],
) -> BackupReport:
    path, now = Path(to).absolute(), SystemClock(Instant(0)).now()
    address = store or ("" if database else place.store)
    if address:
        require_store(address)
        made = back_up_postgres(address, path, now, environ)
    else:
        made = back_up_sqlite(_database(place, database), path, now, told)
    if place.home.is_dir():
        remember_copy(place.home, path, made)
    return BackupReport(
        path=str(path),
        manifest=str(manifest_of(path)),
        engine=made.engine,
        revision=made.revision,
        records=made.records,
        size=made.size,
        origin=made.origin,
        covered=made.covered,
        root=made.root,
        bytes=made.bytes,
        sha256=made.sha256,
        made=made.made,
    )


def put_back(place: CommandPlace, copy: str, *, database: str, key: str, later: str) -> RecoveryReport:
    path, target = Path(copy).absolute(), _database(place, database)
    make_home(place.home)
    with _owned(place.home):
        between = _between(place, later, key, read_manifest(path)) if later else ()
        done = restore_sqlite(place.home, target, path, key=key)
    return _restored(done, between)


def reconcile(
    place: CommandPlace, *, store: str, database: str, follow: bool, later: str, key: str
) -> RecoveryReport:
    address = store or ("" if database else place.store)
    target = _database(place, database)
    if not address:
        require_no_restore(target)
        if not target.is_file():
            raise StoreUnavailableError(f"there is no database `{target}`")
    here = _owned(place.home)
    with here, closing(open_store(target, address, owned=lambda: require_no_restore(target))) as opened:  # 1
        if later:
            with opened.read() as snapshot:
                size = snapshot.audit.size()
                records = _pieces(snapshot.audit.records, size)
                root = grow(EMPTY_FRONTIER, (leaf_hash(one) for one in records)).frontier.root
            between = _read(place, later, key, size, root)
        else:
            between = ()
        done = follow_here(place.home, opened) if follow else begin_here(place.home, opened)
    return _reconciled(done, between)


def _database(place: CommandPlace, told: str) -> Path:
    return Path(told).absolute() if told else place.home / DATABASE


@contextmanager
def _owned(home: Path) -> Iterator[None]:
    held = hold_home(home, find_socket(home))  # 1
    try:
        yield
    finally:
        os.close(held)


def _pieces(records: Callable[[int, int], tuple[bytes, ...]], size: int) -> Iterator[bytes]:
    for start in range(0, size, 1000):
        yield from records(start, min(1000, size - start))


def _between(place: CommandPlace, later: str, key: str, manifest: Manifest) -> tuple[LaterRecord, ...]:
    return _read(place, later, key, manifest.size, bytes.fromhex(manifest.root))


def _read(place: CommandPlace, later: str, key: str, size: int, root: bytes) -> tuple[LaterRecord, ...]:
    try:
        with Path(later).open("rb") as file:
            origin = parse_header(file.readline().removesuffix(b"\n"))
        with Path(later).open("rb") as file:
            verify_export(file, key=key_of(place.home, key)(origin), verify=verify_ed25519)
        with Path(later).open("rb") as file:
            file.readline()
            frontier, found = EMPTY_FRONTIER, []
            for number, line in enumerate(file):
                raw = line.removesuffix(b"\n")
                if raw.startswith(b'{"checkpoints":'):
                    break
                if number < size:
                    frontier = grow(frontier, [leaf_hash(raw)]).frontier
                elif (one := _told(parse_record(raw))) is not None:
                    found.append(one)
    except OSError as error:
        raise StoreUnavailableError(f"`{later}` can't be read: {error.strerror or error}") from error
    if (frontier.size, frontier.root) != (size, root):
        raise ConsistencyWrongError(f"`{later}` does not go on from the {size} records that the store holds")
    return tuple(found)


def _told(record: Record) -> LaterRecord | None:
    event = record.event
    if event.kind in _UNTOLD:
        return None
    told = " ".join(str(getattr(event, one.name)) for one in fields(event)[:3])
    return LaterRecord(at=record.at, namespace=record.namespace, kind=event.kind, of=told[:_LONGEST])


def _restored(done: Restored, later: tuple[LaterRecord, ...]) -> RecoveryReport:
    begun, manifest = done.begun, done.manifest
    return RecoveryReport(
        finished=begun is None,
        held=manifest.records if manifest is not None else 0,
        seen=0,
        made=manifest.made if manifest is not None else 0,
        namespaces=begun.namespaces if begun is not None else (),
        tasks=begun.tasks if begun is not None else 0,
        admissions=begun.admissions if begun is not None else 0,
        sessions=begun.sessions if begun is not None else 0,
        keys=begun.keys if begun is not None else 0,
        aside=done.aside,
        origin=done.origin,
        later=later,
    )


def _reconciled(done: Reconciled, later: tuple[LaterRecord, ...]) -> RecoveryReport:
    begun = done.begun
    return RecoveryReport(
        finished=begun is None,
        held=done.held,
        seen=done.seen,
        made=0,
        namespaces=begun.namespaces if begun is not None else (),
        tasks=begun.tasks if begun is not None else 0,
        admissions=begun.admissions if begun is not None else 0,
        sessions=begun.sessions if begun is not None else 0,
        keys=begun.keys if begun is not None else 0,
        aside="",
        origin=done.origin,
        later=later,
    )

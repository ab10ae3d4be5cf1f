"""Changing a client's configuration so that it can be put back, byte for byte.

1. The original bytes are durable in the data directory, for this account only, before the file is touched.
2. A file is replaced as a whole (written beside, synced, renamed), keeps its mode, and a link stays a link.
   What is put back is open to nobody whom it was closed to before, or is closed to now.
3. It is replaced only if it still holds what was read; one that does not is left alone, and others go on.
4. Putting back gives the exact bytes, unless the file changed since. Then it takes a person's yes, and only
   the servers go back to their place; what changed since stays. What can't be put back keeps its copy, and
   the others go on.
5. What was put back is forgotten, and so is what a person says to forget: the copies may hold secrets of the
   configurations.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.core.action.escape import escape_text
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
from taskbound.surfaces.cli.clients.difference import difference
from taskbound.surfaces.cli.clients.edit import Change, Removed, put_back, rewrite
from taskbound.surfaces.cli.clients.errors import (
    BadConfigError,
    ConfigChangedError,
    ConfigUnwritableError,
    NoUndoError,
)
from taskbound.surfaces.cli.clients.reading import MARK, read_bytes, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


_MANIFEST: Final = "manifest.json"
_ANY_MODE: Final = 0o7777


class Rewritten(msgspec.Struct, frozen=True, kw_only=True):
    """One file that was rewritten, or is about to be."""

    path: str
    """The file that the person has, a link perhaps."""
    before: str
    """SHA-256 of its bytes before."""
    after: str
    """SHA-256 of its bytes after."""
    removed: tuple[Removed, ...]
    copy: str = ""
    """The name of the copy of its original bytes."""
    mode: int = _ANY_MODE
    """Its mode before (rule 2); any in what was kept before there was this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One file as it is to be."""

    before: bytes
    after: bytes
    note: Rewritten
    difference: tuple[str, ...]
    """How it will differ, without secrets (`clients.difference`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """One file that stays as it is, and why."""

    path: str
    error: TaskboundError


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What became of the files that were to be rewritten."""

    rewritten: tuple[Rewritten, ...]
    left: tuple[Left, ...]


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one file when it was put back."""

    path: str
    how: str
    """`exact`, `servers only`, or `already as it was`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """What became of the files that were to be put back."""

    restored: tuple[Restored, ...]
    left: tuple[Left, ...]


def plan(path: Path, changes: Sequence[Change]) -> Planned:
    """The file as it is to be; nothing is written.

    Raises:
        BadConfigError: It can't be read, or not rewritten.
        ConfigCommentError: A comment would be lost.
    """
    raw = read_bytes(path)
    old = text = text_of(path, raw)
    mark = MARK if raw.startswith(MARK) else b""
    removed = []
    for change in changes:
        text, one = rewrite(text, change)
        removed.append(one)
    new = mark + text.encode()
    note = Rewritten(
        path=str(path),
        before=_digest(raw),
        after=_digest(new),
        removed=tuple(removed),
        mode=_mode(path),
    )
    shown = difference(old, text, [one.keys for one in changes])
    return Planned(before=raw, after=new, note=note, difference=shown)


def _mode(path: Path) -> int:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        raise BadConfigError(f"`{escape_text(str(path))}` can't be read: {error.strerror}") from error


def apply(home: Path, plans: Sequence[Planned]) -> Applied:
    """Rewrite the planned files, with copies of the originals under `home` (rules 1 to 3).

    Raises:
        ConfigUnwritableError: No copy can be kept; nothing was rewritten.
    """
    plans = [one for one in plans if one.before != one.after]
    if not plans:
        return Applied(rewritten=(), left=())
    folder = _next_folder(home)
    notes = []
    for number, one in enumerate(plans):
        copy = f"{number}.original"
        _write(folder / copy, one.before, 0o600)
        notes.append(msgspec.structs.replace(one.note, copy=copy))
    _write(folder / _MANIFEST, msgspec.json.encode(notes), 0o600)
    done, left = [], []
    for one, note in zip(plans, notes, strict=True):
        try:
            _replace(Path(note.path), one.before, one.after)
            done.append(note)
        except (ConfigChangedError, ConfigUnwritableError) as error:
            left.append(Left(path=note.path, error=error))  # 3
    if left:
        _keep(folder, done)
    return Applied(rewritten=tuple(done), left=tuple(left))


def undo(home: Path, may_differ: Callable[[str], None]) -> Undone:
    """Put back every file that was rewritten, newest first (rules 4 and 5).

    Args:
        home: The data directory.
        may_differ: Asks the person about a file that changed since; raises unless they say yes.

    Raises:
        NoUndoError: Nothing was rewritten.
        ConfigUnwritableError: The copies can't be read or taken away.
    """
    done: list[Restored] = []
    left: dict[str, TaskboundError] = {}
    for folder, notes in _folders(home):
        stay = []
        for note in reversed(notes):
            if note.path in left:  # an older rewriting of it can only be undone after the newer one
                stay.append(note)
                continue
            try:
                done.append(_restore(folder, note, may_differ))
            except TaskboundError as error:
                left[note.path] = error
                stay.append(note)
        _keep(folder, stay[::-1])  # 5
    if not done and not left:
        raise NoUndoError("no configuration was rewritten, or all were put back")
    return Undone(
        restored=tuple(done), left=tuple(Left(path=path, error=error) for path, error in left.items())
    )


def kept(home: Path) -> tuple[str, ...]:
    """The files whose originals are kept."""
    return tuple(sorted({note.path for _, notes in _folders(home) for note in notes}))


def forget(home: Path) -> None:
    """Take every kept original away (rule 5): nothing can be put back after that.

    Raises:
        ConfigUnwritableError: One can't be taken away.
    """
    for folder, _ in _folders(home):
        _keep(folder, ())


def _folders(home: Path) -> list[tuple[Path, list[Rewritten]]]:
    """Each rewriting whose originals are kept, newest first, with what it rewrote."""
    found = []
    for folder in sorted((home / "undo").glob("[0-9]*"), reverse=True):
        try:
            raw = (folder / _MANIFEST).read_bytes()
            found.append((folder, msgspec.json.decode(raw, type=list[Rewritten])))
        except FileNotFoundError:
            found.append((folder, []))  # the copies were being made when init ended: no file was touched yet
        except (OSError, msgspec.DecodeError) as error:
            raise ConfigUnwritableError(
                f"`{escape_text(str(folder / _MANIFEST))}` says what was rewritten, and can't be read",
                remedy=f"the originals are the files beside it, in `{escape_text(str(folder))}`",
            ) from error
    return found


def _keep(folder: Path, notes: Sequence[Rewritten]) -> None:
    """Keep the originals of these files, and no others."""
    try:
        if not notes:
            shutil.rmtree(folder)
            return
        _write(folder / _MANIFEST, msgspec.json.encode(notes), 0o600)
        for copy in folder.glob("*.original"):
            if copy.name not in {one.copy for one in notes}:
                copy.unlink()
    except OSError as error:
        words = error.strerror
        raise ConfigUnwritableError(f"`{escape_text(str(folder))}` can't be changed: {words}") from error


def _restore(folder: Path, note: Rewritten, may_differ: Callable[[str], None]) -> Restored:
    path, shown = Path(note.path), escape_text(note.path)
    where = f"its original is `{escape_text(str(folder / note.copy))}`"
    try:
        now = read_bytes(path)
    except BadConfigError as error:
        raise ConfigChangedError(error.message, remedy=where) from error
    if _digest(now) == note.before:
        return Restored(path=note.path, how="already as it was")
    if _digest(now) == note.after:
        try:
            original = (folder / note.copy).read_bytes()
        except OSError as error:
            words = error.strerror
            raise ConfigUnwritableError(f"the original of `{shown}` can't be read: {words}") from error
        _replace(path, now, original, most=note.mode)
        return Restored(path=note.path, how="exact")
    may_differ(
        f"`{shown}` changed since `init` rewrote it: put its servers back, and keep what changed since?"
    )
    try:
        text = text_of(path, now)
        for one in reversed(note.removed):
            text = put_back(text, one)
    except BadConfigError as error:
        raise ConfigChangedError(
            f"`{shown}` changed so that its servers have no place: {error.message}", remedy=where
        ) from error
    _replace(path, now, (MARK if now.startswith(MARK) else b"") + text.encode(), most=note.mode)
    return Restored(path=note.path, how="servers only")


def _next_folder(home: Path) -> Path:
    root = home / "undo"
    try:
        root.mkdir(mode=0o700, exist_ok=True)
        number = max((int(one.name) for one in root.glob("[0-9]*")), default=0) + 1
        folder = root / f"{number:06d}"
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise ConfigUnwritableError(f"no copy can be kept under `{root}`: {error.strerror}") from error
    return folder


def _replace(path: Path, expected: bytes, new: bytes, *, most: int = _ANY_MODE) -> None:
    """Write the file as a whole, if it still holds what is expected (rules 2 and 3)."""
    shown = escape_text(str(path))
    try:
        target = path.resolve()
        seen = target.stat()
        if read_bytes(target) != expected:
            raise ConfigChangedError(
                f"`{shown}` changed in the meantime", remedy="close the client and try again"
            )
        _write(target, new, stat.S_IMODE(seen.st_mode) & most, owner=(seen.st_uid, seen.st_gid))
    except (OSError, RuntimeError) as error:  # the latter for links that lead round, before Python 3.13
        words = error.strerror if isinstance(error, OSError) else "it is a link that leads round"
        raise ConfigUnwritableError(f"`{shown}` can't be written: {words}") from error
    except BadConfigError as error:
        raise ConfigUnwritableError(error.message) from error


def _write(path: Path, raw: bytes, mode: int, *, owner: tuple[int, int] | None = None) -> None:
    """Write beside, sync, rename, and sync the folder."""
    try:
        fd, fresh = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise ConfigUnwritableError(f"nothing can be written in `{path.parent}`: {error.strerror}") from error
    try:
        with os.fdopen(fd, "wb") as stream:
            stream.write(raw)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            if owner is not None and owner != (os.geteuid(), os.getegid()) and os.geteuid() == 0:
                os.fchown(stream.fileno(), *owner)
            os.fsync(stream.fileno())
        os.replace(fresh, path)  # noqa: PTH105 -- the same call under another name
    except BaseException:
        Path(fresh).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _digest(raw: bytes) -> str:
    return sha256(raw).hexdigest()

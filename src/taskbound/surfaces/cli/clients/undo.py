"""Changing a client's configuration so that it can be put back, byte for byte.

1. The original bytes are durable in the data directory before the file is touched.
2. A file is replaced as a whole (written beside, synced, renamed), keeps its mode, and a link stays a link.
3. It is replaced only if it still holds what was read.
4. Putting back gives the exact bytes, unless the file changed since. Then it takes a person's yes, and only
   the servers go back to their place; what changed since stays.
5. What was put back is forgotten: the copies may hold secrets of the configurations.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.surfaces.cli.clients.edit import Change, Removed, put_back, rewrite
from taskbound.surfaces.cli.clients.errors import (
    BadConfigError,
    ConfigChangedError,
    ConfigUnwritableError,
    NoUndoError,
)
from taskbound.surfaces.cli.clients.places import read_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Planned", "Restored", "Rewritten", "apply", "plan", "undo"]

_MARK: Final = b"\xef\xbb\xbf"
_MANIFEST: Final = "manifest.json"


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One file as it is to be."""

    before: bytes
    after: bytes
    note: Rewritten


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one file when it was put back."""

    path: str
    how: str
    """`exact`, `servers only`, or `already as it was`."""


def plan(path: Path, changes: Sequence[Change]) -> Planned:
    """The file as it is to be; nothing is written.

    Raises:
        BadConfigError: It can't be read, or not rewritten.
        ConfigCommentError: A comment would be lost.
    """
    text = read_text(path)
    raw = path.read_bytes()
    mark = _MARK if raw.startswith(_MARK) else b""
    if mark + text.encode() != raw:
        raise ConfigChangedError(
            f"`{path}` changes while it is read", remedy="close the client and try again"
        )
    removed = []
    for change in changes:
        text, one = rewrite(text, change)
        removed.append(one)
    new = mark + text.encode()
    note = Rewritten(path=str(path), before=_digest(raw), after=_digest(new), removed=tuple(removed))
    return Planned(before=raw, after=new, note=note)


def apply(home: Path, plans: Sequence[Planned]) -> tuple[Rewritten, ...]:
    """Rewrite the planned files, with copies of the originals under `home` (rules 1 to 3).

    Raises:
        ConfigChangedError: A file is not what was read any more.
        ConfigUnwritableError: A file or the copy can't be written.
    """
    plans = [one for one in plans if one.before != one.after]
    if not plans:
        return ()
    folder = _next_folder(home)
    notes = []
    for number, one in enumerate(plans):
        copy = f"{number}.original"
        _write(folder / copy, one.before, 0o600)
        notes.append(msgspec.structs.replace(one.note, copy=copy))
    _write(folder / _MANIFEST, msgspec.json.encode(notes), 0o600)
    for one in plans:
        _replace(Path(one.note.path), one.before, one.after)
    return tuple(notes)


def undo(home: Path, may_differ: Callable[[str], None]) -> tuple[Restored, ...]:
    """Put back every file that was rewritten, newest first (rules 4 and 5).

    Args:
        home: The data directory.
        may_differ: Asks the person about a file that changed since; raises unless they say yes.

    Raises:
        NoUndoError: Nothing was rewritten.
        ConfigChangedError: A file is gone, or changed so that the servers have no place.
        ConfigUnwritableError: A file can't be written.
    """
    folders = sorted((home / "undo").glob("[0-9]*"), reverse=True) if (home / "undo").is_dir() else []
    done: list[Restored] = []
    for folder in folders:
        try:
            notes = msgspec.json.decode((folder / _MANIFEST).read_bytes(), type=list[Rewritten])
        except FileNotFoundError:
            notes = []  # the copies were being made when init ended: no file was touched yet
        done.extend(_restore(folder, note, may_differ) for note in reversed(notes))
        shutil.rmtree(folder)  # 5.
    if not done:
        raise NoUndoError("no configuration was rewritten, or all were put back")
    return tuple(done)


def _restore(folder: Path, note: Rewritten, may_differ: Callable[[str], None]) -> Restored:
    path = Path(note.path)
    original = (folder / note.copy).read_bytes()
    try:
        now = path.read_bytes()
    except OSError as error:
        raise ConfigChangedError(
            f"`{path}` can't be read any more: {error.strerror}",
            remedy=f"its original is `{folder / note.copy}`",
        ) from error
    if _digest(now) == note.before:
        return Restored(path=note.path, how="already as it was")
    if _digest(now) == note.after:
        _replace(path, now, original)
        return Restored(path=note.path, how="exact")
    may_differ(
        f"`{path}` changed since `init` rewrote it: put its servers back, and keep what changed since?"
    )
    try:
        text = read_text(path)
        for one in reversed(note.removed):
            text = put_back(text, one)
    except BadConfigError as error:
        raise ConfigChangedError(
            f"`{path}` changed so that its servers have no place: {error.message}",
            remedy=f"its original is `{folder / note.copy}`",
        ) from error
    _replace(path, now, (_MARK if now.startswith(_MARK) else b"") + text.encode())
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


def _replace(path: Path, expected: bytes, new: bytes) -> None:
    """Write the file as a whole, if it still holds what is expected (rules 2 and 3)."""
    target = path.resolve()
    try:
        seen = target.stat()
        if target.read_bytes() != expected:
            raise ConfigChangedError(
                f"`{path}` changed in the meantime", remedy="close the client and try again"
            )
        _write(target, new, stat.S_IMODE(seen.st_mode), owner=(seen.st_uid, seen.st_gid))
    except OSError as error:
        raise ConfigUnwritableError(f"`{path}` can't be written: {error.strerror}") from error


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

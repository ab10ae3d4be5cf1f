"""Writes client configurations and restores them.

1. The original bytes are durable, readable by this account only, before a file is changed.
2. Files are replaced atomically. No account that could not read a file before, or can't now, gains access.
3. A file that no longer holds the bytes that were read is left; the new text must parse to what is meant.
4. If a file changed since, a person must agree to restoring it, and only the servers are moved back.
5. A file that can't be restored keeps its copy; other copies are deleted, because they may hold secrets.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.core.action.text import escape_text
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
from taskbound.surfaces.cli.clients.files import (
    MARK,
    BadConfigError,
    ConfigChangedError,
    ConfigCommentError,
    ConfigUnwritableError,
    NoUndoError,
    read_bytes,
    text_of,
)
from taskbound.surfaces.cli.clients.jsonc import Document, Member, Node, difference, parse_jsonc

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskbound.core.action.canonical import JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change to one object of servers."""

    keys: tuple[str, ...]
    """The way to the object, such as `("mcpServers",)`."""
    remove: tuple[str, ...]
    """The servers that go."""
    name: str
    """What the gateway's entry is called."""
    entry: JsonValue
    """What it holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What a change removed from one object of servers, for restoring it."""

    keys: tuple[str, ...]
    name: str
    """The entry that came instead; empty when that was there before."""
    members: tuple[tuple[str, str], ...]
    """Each server's name and the exact text of its member."""


def rewrite(text: str, change: Change) -> tuple[str, Removed]:
    document = parse_jsonc(text)
    servers = _servers(document, change.keys)
    going = [one for one in servers.members if one.key in change.remove]
    if len(going) != len(set(change.remove)):
        raise BadConfigError("a server that was there is gone", remedy="try again")
    for one in going:
        _require_no_comment(document, one)
    ours = next((one for one in servers.members if one.key == change.name), None)
    edits = _Edits(text)
    keep = [one for one in servers.members if one not in going]
    if ours is not None:
        _require_no_comment(document, ours)
        edits.replace(ours.start, ours.end, _entry(text, ours, change))
    elif going:
        first = going[0]
        edits.replace(first.start, first.end, _entry(text, first, change))
        keep.append(first)
    for one in going:
        if one not in keep:
            edits.drop_member(one)
    _settle_commas(edits, servers, keep)
    new = edits.done()
    _require_meaning(text, new, change)  # 3
    members = tuple((one.key, text[one.start : one.end]) for one in going)
    return new, Removed(keys=change.keys, name="" if ours is not None else change.name, members=members)


def put_back(text: str, removed: Removed) -> str:
    document = parse_jsonc(text)
    servers = _servers(document, removed.keys)
    there = {one.key for one in servers.members}
    members = [body for key, body in removed.members if key not in there]
    ours = next((one for one in servers.members if one.key == removed.name), None)
    edits = _Edits(text)
    if ours is not None and members:
        edits.replace(ours.start, ours.end, _joined(text, ours.start, members))
    elif ours is not None:
        edits.drop_member(ours)
        _settle_commas(edits, servers, [one for one in servers.members if one is not ours])
    elif members and servers.members:
        first = servers.members[0]
        edits.insert(first.start, _joined(text, first.start, [*members, ""]))
    elif members:
        edits.insert(servers.start + 1, ", ".join(members))
    new = edits.done()
    parse_jsonc(new)
    return new


def _servers(document: Document, keys: Sequence[str]) -> Node:
    node = document.root.find(*keys)
    if node is None or not isinstance(node.value, dict):
        raise BadConfigError(f"the file has no object `{escape_text('.'.join(keys))}`")
    return node


def _require_no_comment(document: Document, member: Member) -> None:
    for start, _ in document.comments:
        if member.start <= start < member.end:
            line = document.line_of(start)
            raise ConfigCommentError(
                f"the entry `{escape_text(member.key)}` has a comment at line {line} that would be lost",
                where=f"line {line}",
            )


class _Edits:
    def __init__(self, text: str) -> None:
        self._text = text
        self._edits: list[tuple[int, int, str]] = []

    def replace(self, start: int, end: int, new: str) -> None:
        self._edits.append((start, end, new))

    def insert(self, place: int, new: str) -> None:
        self._edits.append((place, place, new))

    def drop_member(self, member: Member) -> None:
        start = member.start
        before = len(self._text[:start].rstrip(" \t"))
        end = member.end
        comma = member.comma if member.comma >= 0 and not self._text[end : member.comma].strip(" \t") else -1
        after = comma + 1 if comma >= 0 else end
        end = comma if comma >= 0 else end
        rest = len(self._text) - len(self._text[after:].lstrip(" \t"))
        own_line = before == 0 or self._text[before - 1] == "\n"
        if own_line and (line_end := self._line_end(rest)) > rest:
            self._edits.append((before, end, ""))
            self._edits.append((after, line_end, ""))
        else:
            self._edits.append((before if not own_line else start, end, ""))

    def drop_comma(self, member: Member) -> None:
        self._edits.append((member.comma, member.comma + 1, ""))

    def add_comma(self, place: int) -> None:
        self._edits.append((place, place, ","))

    def done(self) -> str:
        text = self._text
        for start, end, new in sorted(self._edits, key=lambda one: (one[0], one[1]), reverse=True):
            text = text[:start] + new + text[end:]
        return text

    def _line_end(self, place: int) -> int:
        for ending in ("\r\n", "\n"):
            if self._text.startswith(ending, place):
                return place + len(ending)
        return place


def _settle_commas(edits: _Edits, servers: Node, keep: Sequence[Member]) -> None:
    trailing = bool(servers.members) and servers.members[-1].comma >= 0
    last = next((one for one in reversed(servers.members) if one in keep), None)
    for one in servers.members:
        if one.comma >= 0 and (one not in keep or (one is last and not trailing)):
            edits.drop_comma(one)


def _entry(text: str, place: Member, change: Change) -> str:
    old = text[place.start : place.end]
    key = json.dumps(change.name, ensure_ascii=False)
    if "\n" not in old:
        return f"{key}: {json.dumps(change.entry, ensure_ascii=False)}"
    indent = _indent(text, place.start)
    inner = place.value.members[0].start if place.value.members else place.start
    unit = _indent(text, inner).removeprefix(indent) or "  "
    body = json.dumps(change.entry, ensure_ascii=False, indent=unit)
    ending = "\r\n" if "\r\n" in old else "\n"
    return f"{key}: {body}".replace("\n", ending + indent)


def _joined(text: str, place: int, members: Sequence[str]) -> str:
    start = text.rfind("\n", 0, place) + 1
    if text[start:place].strip(" \t"):
        return ", ".join(members)
    ending = "\r\n" if "\r\n" in text else "\n"
    return f",{ending}{_indent(text, place)}".join(members)


def _indent(text: str, place: int) -> str:
    start = text.rfind("\n", 0, place) + 1
    line = text[start:place]
    return line if not line.strip(" \t") else line[: len(line) - len(line.lstrip(" \t"))]


def _require_meaning(old: str, new: str, change: Change) -> None:
    want = parse_jsonc(old).root.value
    here = want
    for key in change.keys:
        here = here[key] if isinstance(here, dict) else None
    if isinstance(here, dict):
        for name in change.remove:
            del here[name]
        here[change.name] = change.entry
    if parse_jsonc(new).root.value != want:
        raise BadConfigError("the file can't be rewritten without changing more than was meant")


_MANIFEST: Final = "manifest.json"
_ANY_MODE: Final = 0o7777


class Rewritten(msgspec.Struct, frozen=True, kw_only=True):
    """One file that was or will be rewritten."""

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
    """One file with its planned content."""

    before: bytes
    after: bytes
    note: Rewritten
    difference: tuple[str, ...]
    """How it will differ, without secrets (`clients.difference`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """One file that is left unchanged, with the reason."""

    path: str
    error: TaskboundError


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """The result of rewriting files."""

    rewritten: tuple[Rewritten, ...]
    left: tuple[Left, ...]


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """The result of restoring one file."""

    path: str
    how: str
    """`exact`, `servers only`, or `already as it was`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """The result of restoring files."""

    restored: tuple[Restored, ...]
    left: tuple[Left, ...]


def plan(path: Path, changes: Sequence[Change]) -> Planned:
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
    """Rewrite the planned files; raises ConfigUnwritableError before any change if no copy can be kept."""
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
    """Restore, newest first; `may_differ` raises unless the person agrees to restore a changed file."""
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
    return tuple(sorted({note.path for _, notes in _folders(home) for note in notes}))


def forget(home: Path) -> None:
    """Delete every kept original; nothing can be restored afterwards."""
    for folder, _ in _folders(home):
        _keep(folder, ())


def _folders(home: Path) -> list[tuple[Path, list[Rewritten]]]:
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

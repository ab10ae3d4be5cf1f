"""Reads files and git refs named by a call's arguments, one path component at a time.

1. A file's version is its content, resolved path, inode and device. It is read through the opened handle and
   refused if it changes meanwhile.
2. A revision is the object that the ref names now.
3. The bytes read for one call are bounded.

Git refs: repository configuration can make git run programs, so refs are read here by gitrepository-layout.

1. A name is `HEAD`, a full object id, `refs/…` or a short name. Ambiguous names, revision operators (`~1`,
   `^`, `@{…}`, `:`) and names that git forbids are refused.
2. A loose ref overrides a packed one; symbolic refs are followed a bounded number of times.
3. An object id is immutable, so a tag's own id suffices.
4. Reftable repositories and linked work trees are refused.

Path walk: authors of the path and writers of the folder are not trusted.

1. Each component is opened relative to the held folder without following links; everything else uses that
   handle, so a swap has no effect.
2. Links are resolved by hand and must stay beneath the folder, as must `..`.
3. Mount points beneath the folder are not entered or queried: their server may never answer.
4. Closed folders, such as the daemon's own, are not entered.
5. Only regular files are opened: devices and pipes have effects or block.
6. A file has one name; another name may lie outside the folder.
7. Links and path length are bounded.

It needs Linux' `O_PATH`; on other systems nothing is read.
"""

from __future__ import annotations

import os
import re
import stat
from collections import deque
from contextlib import ExitStack, contextmanager
from dataclasses import field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final, assert_never

from taskbound.core.approval import Operand, OperandOutsideError, OperandUnreadableError, ProbeKind
from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from taskbound.core.approval import Lookup


_ID: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_PACKED: Final = re.compile(r"([0-9a-f]{40}|[0-9a-f]{64}) (refs/\S+)")
_LOOSE: Final = 4_096
_ALL: Final = 8 * 1_048_576
_SYMBOLIC: Final = 5
_LONGEST: Final = 250
_NO_NAME: Final = re.compile(r"^-|^/|/$|//|^@$|@\{|\.\.|\.$|(?:^|/)\.|\.lock(?:/|$)|[\x00-\x20\x7f~^:?*\[\\]")
"""What git allows in no name of a ref (git-check-ref-format), and a dash in front."""
_PLACES: Final = ("refs/{}", "refs/tags/{}", "refs/heads/{}", "refs/remotes/{}", "refs/remotes/{}/HEAD")
"""Where git looks for a short name (gitrevisions)."""


def revision_of(walk: Walk, name: str) -> dict[str, str]:
    """Returns the revision in the walk's repository; raises OperandOutsideError or OperandUnreadableError."""
    if len(name) > _LONGEST or _NO_NAME.search(name) is not None or not name.isascii():
        raise OperandUnreadableError("it is no plain name of a ref")  # 1
    _enter_repository(walk)
    path = walk.path
    if _ID.fullmatch(name):
        return {"object": name, "path": path, "ref": ""}
    packed = _packed(walk)
    ref, found = _one(walk, name, packed)
    for _ in range(_SYMBOLIC):
        if not found.startswith("ref: "):
            break
        ref = found.removeprefix("ref: ").strip()
        if not ref.startswith("refs/") or _NO_NAME.search(ref) is not None:
            raise OperandUnreadableError("a symbolic ref names none of the repository's refs")
        found = _read(walk, ref, packed)  # 2
    if _ID.fullmatch(found) is None:
        raise OperandUnreadableError(f"`{ref}` names no object")
    return {"object": found, "path": path, "ref": ref}


def _enter_repository(walk: Walk) -> None:
    kind = walk.kind(".git")
    if stat.S_ISREG(kind):
        raise OperandUnreadableError(
            "its repository is beside the work tree, and is not read from there"
        )  # 4
    if kind:
        walk.go(".git")
    if not stat.S_ISREG(walk.kind("HEAD")) or not stat.S_ISDIR(walk.kind("refs")):
        raise OperandUnreadableError("there is no git repository")
    if walk.kind("reftable") or walk.kind("commondir"):
        raise OperandUnreadableError("its refs are not kept in files of its own")  # 4


def _one(walk: Walk, name: str, packed: dict[str, str]) -> tuple[str, str]:
    if name == "HEAD":
        return name, _read(walk, name, packed)
    places = [name] if name.startswith("refs/") else [one.format(name) for one in _PLACES]
    found = [(place, said) for place in places if (said := _read(walk, place, packed))]
    if not found:
        raise OperandUnreadableError("no ref has this name")
    if len(found) > 1:
        raise OperandUnreadableError(f"the name stands for {' and '.join(place for place, _ in found)}")
    return found[0]


def _read(walk: Walk, ref: str, packed: dict[str, str]) -> str:
    """Returns the ref's content, '' if there is no such ref; a folder of that name belongs to other refs."""
    if stat.S_ISREG(walk.kind(ref)):
        return _text(walk, ref, _LOOSE).strip()
    return packed.get(ref, "")


def _packed(walk: Walk) -> dict[str, str]:
    if not walk.kind("packed-refs"):
        return {}
    lines = _text(walk, "packed-refs", _ALL).splitlines()
    found = [match for line in lines if (match := _PACKED.fullmatch(line)) is not None]
    return {match[2]: match[1] for match in found}


def _text(walk: Walk, name: str, most: int) -> str:
    with walk.file(name, names=1_000) as found:
        try:
            raw = b""
            while len(raw) <= most and (piece := os.read(found.descriptor, most)):
                raw += piece
        except OSError as error:
            raise OperandUnreadableError("a ref could not be read") from error
    if len(raw) > most:
        raise OperandUnreadableError("its refs are larger than what is read")
    try:
        return raw.decode("ascii") if name != "packed-refs" else raw.decode()
    except UnicodeDecodeError as error:
        raise OperandUnreadableError("a ref holds what is no name") from error


_LINKS: Final = 40
_WALK_LONGEST: Final = 4_096
_OWN: Final = "it is in a folder of Taskbound itself"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An opened regular file and its path."""

    descriptor: int
    path: str
    state: os.stat_result


@dataclass(slots=True, kw_only=True)
class Walk:
    """A position beneath one folder; `opened_folder` makes it and closes its handles."""

    folder: str
    """As it was declared."""
    real: str
    """With its links followed."""
    closed: frozenset[tuple[int, int]]
    """(device, inode) of folders that are not entered (rule 4)."""
    mount: str
    """What the folder is mounted by."""
    stack: list[int]
    names: list[str] = field(default_factory=list)

    @property
    def path(self) -> str:
        path = "/".join([self.real.rstrip("/"), *self.names]) or "/"
        try:
            path.encode()
        except UnicodeEncodeError as error:
            raise OperandUnreadableError("its path is not written in UTF-8") from error
        return path

    def beneath(self, path: str) -> str:
        """Returns an absolute path relative to the folder; raises OperandOutsideError."""
        for top in (self.folder, self.real):
            if path == top or path.startswith(f"{top.rstrip('/')}/"):
                return path[len(top) :]
        raise OperandOutsideError(f"it is not beneath `{self.folder}`")

    @contextmanager
    def file(self, rest: str, *, names: int = 1) -> Iterator[Found]:
        """Opens a regular file with at most `names` hard links (rule 6)."""
        with self._aside() as way, _told():
            way.enter(rest)
            held = way.stack[-1]
            state = os.fstat(held)
            if not stat.S_ISREG(state.st_mode):
                raise OperandUnreadableError("it is no plain file")  # 5
            if state.st_nlink > names:
                raise OperandUnreadableError("the file has other names too, which may be anywhere")  # 6
            flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            descriptor = os.open(f"/proc/self/fd/{held}", flags)  # what is held, whatever its name names now
            try:
                yield Found(descriptor=descriptor, path=way.path, state=os.fstat(descriptor))
            finally:
                os.close(descriptor)

    def kind(self, rest: str) -> int:
        with self._aside() as way, _told():
            try:
                way.enter(rest)
            except (FileNotFoundError, NotADirectoryError):
                return 0
            return stat.S_IFMT(os.fstat(way.stack[-1]).st_mode)

    def go(self, rest: str) -> None:
        with _told():
            self.enter(rest)

    def enter(self, rest: str) -> None:
        if len(os.fsencode(rest)) > _WALK_LONGEST:
            raise OperandUnreadableError("its path is too long")  # 7
        todo = deque(rest.split("/"))
        links = 0
        while todo:
            name = todo.popleft()
            if name == "..":
                self._up()
            elif name not in {"", "."}:
                self._take(name)
                if stat.S_ISLNK(os.fstat(self.stack[-1]).st_mode):
                    links += 1
                    if links > _LINKS:
                        raise OperandUnreadableError("its path goes through too many links")  # 7
                    todo.extendleft(reversed(self._target().split("/")))

    def _take(self, name: str) -> None:
        held = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.stack[-1])
        self.stack.append(held)
        self.names.append(name)
        if _mount_of(held) != self.mount:
            raise OperandOutsideError(f"it is on something that is mounted beneath `{self.folder}`")  # 3
        state = os.fstat(held)
        if (state.st_dev, state.st_ino) in self.closed:
            raise OperandOutsideError(_OWN)  # 4

    def _target(self) -> str:
        target = os.readlink("", dir_fd=self.stack[-1])
        self._back(len(self.stack) - 1)
        if not target.startswith("/"):
            return target
        rest = self.beneath(target)
        self._back(1)
        return rest

    def _up(self) -> None:
        if len(self.stack) == 1:
            raise OperandOutsideError(f"its path leads out of `{self.folder}`")  # 2
        self._back(len(self.stack) - 1)

    def _back(self, depth: int) -> None:
        while len(self.stack) > depth:
            os.close(self.stack.pop())
            self.names.pop()

    @contextmanager
    def _aside(self) -> Iterator[Walk]:
        with _told():
            stack = [os.dup(one) for one in self.stack]
        way = Walk(
            folder=self.folder,
            real=self.real,
            closed=self.closed,
            mount=self.mount,
            stack=stack,
            names=list(self.names),
        )
        try:
            yield way
        finally:
            _close(stack)


@contextmanager
def opened_folder(folder: str, closed: frozenset[tuple[int, int]]) -> Iterator[Walk]:
    """Opens a declared folder, following its own links; raises OperandUnreadableError."""
    if not hasattr(os, "O_PATH"):
        raise OperandUnreadableError("this system has no safe way to read it")
    with ExitStack() as held:
        with _told():
            real = os.path.realpath(folder, strict=True)
            stack = [os.open(real, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)]
        held.callback(_close, stack)
        with _told():
            state, mount = os.fstat(stack[0]), _mount_of(stack[0])
        if (state.st_dev, state.st_ino) in closed:
            raise OperandOutsideError(_OWN)  # 4
        yield Walk(folder=folder, real=real, closed=closed, mount=mount, stack=stack)


def _close(some: list[int]) -> None:
    for one in some:
        os.close(one)


def _mount_of(descriptor: int) -> str:
    """Returns the handle's mount number from the kernel, without asking the file system's server."""
    for line in Path(f"/proc/self/fdinfo/{descriptor}").read_text(encoding="ascii").splitlines():
        name, _, number = line.partition(":")
        if name == "mnt_id":
            return number.strip()
    raise OperandUnreadableError("the system does not say what it is mounted by")


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        words = (error.strerror or "the system refused it").lower()
        raise OperandUnreadableError(f"it can't be looked at: {words}") from error
    except ValueError as error:
        raise OperandUnreadableError("its path can't be one") from error


MAX_BYTES: Final = 32 * 1_048_576
"""Bytes that are read for one call (rule 3)."""
_PIECE: Final = 1_048_576


class DiskOperands:
    """Looks up files and repositories (`ports.approval.operands.Operands`)."""

    def __init__(self, *, closed: Iterable[Path] = ()) -> None:
        states = [one.stat() for one in closed]
        self._closed = frozenset((one.st_dev, one.st_ino) for one in states)

    def look(self, looks: Sequence[Lookup]) -> tuple[Operand, ...]:
        found: list[Operand] = []
        left = MAX_BYTES
        for one in looks:
            try:
                operand, size = self._look(one, left)
            except (OperandOutsideError, OperandUnreadableError) as error:
                message = f"what `{one.place}` names can't be asked about: {error.message}"
                raise type(error)(message, where=one.place) from error
            left -= size
            found.append(operand)
        return tuple(found)

    def _look(self, look: Lookup, left: int) -> tuple[Operand, int]:
        match look.probe.kind:
            case ProbeKind.FILE:
                said, size = self._file(look, left)
                return _operand(look, said), size
            case ProbeKind.REVISION:
                return _operand(look, self._revision(look)), 0
            case ProbeKind.ROW | ProbeKind.ETAG | ProbeKind.ANSWER:
                raise OperandUnreadableError("it is behind a server, and not on this machine's disk")
            case _ as never:
                assert_never(never)

    def _file(self, look: Lookup, left: int) -> tuple[dict[str, str], int]:
        with opened_folder(look.probe.where, self._closed) as walk:
            rest = walk.beneath(_absolute(look.value, look.directory))
            with walk.file(rest) as found:
                digest = _digest(found, left)
                said = {
                    "device": str(found.state.st_dev),
                    "inode": str(found.state.st_ino),
                    "path": found.path,
                    "sha256": digest,
                    "size": str(found.state.st_size),
                }
                return said, found.state.st_size

    def _revision(self, look: Lookup) -> dict[str, str]:
        with opened_folder(look.probe.where, self._closed) as walk:
            if look.repository:
                walk.go(walk.beneath(_absolute(look.repository, look.directory)))
            return revision_of(walk, look.value)


def _operand(look: Lookup, said: dict[str, str]) -> Operand:
    return Operand(place=look.place, kind=look.probe.kind, found=tuple(sorted(said.items())))


def _absolute(path: str, directory: str) -> str:
    return path if path.startswith("/") else f"{directory.rstrip('/')}/{path}"


def _digest(found: Found, left: int) -> str:
    before = found.state
    if before.st_size > left:
        raise OperandUnreadableError(f"it is larger than the {MAX_BYTES} bytes that are read for one call")
    digest, size = sha256(), 0
    try:
        while size <= before.st_size and (piece := os.read(found.descriptor, _PIECE)):
            digest.update(piece)
            size += len(piece)
        after = os.fstat(found.descriptor)
    except OSError as error:
        raise OperandUnreadableError("it could not be read to its end") from error
    if size != before.st_size:
        raise OperandUnreadableError("it holds more or less than its size says")
    if (after.st_size, after.st_mtime_ns, after.st_ctime_ns) != (
        before.st_size,
        before.st_mtime_ns,
        before.st_ctime_ns,
    ):
        raise OperandUnreadableError("it was written while it was read")
    return digest.hexdigest()

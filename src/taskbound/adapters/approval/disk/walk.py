"""From a folder down to what a path names beneath it, one name at a time, never out of it.

Whoever names the path, and whoever can write in the folder, is not trusted.

1. Each name is taken hold of in the folder that is held already, without following a link, and everything
   after is asked of that handle: what a name is swapped for meanwhile is not what was looked at.
2. Links are read and walked by hand, so that what they lead to is beneath the folder too. `..` is the folder
   that the walk came through, and never one above the first.
3. Nothing that is mounted beneath the folder is entered, nor asked about: whoever serves it may never answer.
4. Folders that are closed, the daemon's own among them, are not entered.
5. What is no plain file is not opened: a device does something when it is opened, a pipe waits.
6. A file has one name: another name of it may be outside of the folder, where this can't see it.
7. So many links are followed, and a path has so many bytes.

A handle that opens nothing (`O_PATH`) is Linux's; elsewhere nothing is looked at.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from contextlib import ExitStack, contextmanager
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from taskbound.core.approval import OperandOutsideError, OperandUnreadableError
from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator


_LINKS: Final = 40
_LONGEST: Final = 4_096
_OWN: Final = "it is in a folder of Taskbound itself"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A plain file that was opened, with the path that led to it."""

    descriptor: int
    path: str
    state: os.stat_result


@dataclass(slots=True, kw_only=True)
class Walk:
    """A place beneath one folder; `opened_folder` makes one, and closes what it holds."""

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
        """Where the walk is."""
        path = "/".join([self.real.rstrip("/"), *self.names]) or "/"
        try:
            path.encode()
        except UnicodeEncodeError as error:
            raise OperandUnreadableError("its path is not written in UTF-8") from error
        return path

    def beneath(self, path: str) -> str:
        """The rest of an absolute path behind the folder.

        Raises:
            OperandOutsideError: It is not beneath it.
        """
        for top in (self.folder, self.real):
            if path == top or path.startswith(f"{top.rstrip('/')}/"):
                return path[len(top) :]
        raise OperandOutsideError(f"it is not beneath `{self.folder}`")

    @contextmanager
    def file(self, rest: str, *, names: int = 1) -> Iterator[Found]:
        """The plain file that the rest of a path names, open for reading.

        Args:
            rest: The path behind the place where the walk is.
            names: How many names the file may have at most (rule 6).

        Raises:
            OperandOutsideError: The way leads out of the folder.
            OperandUnreadableError: There is no such file, or none that may be read.
        """
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
        """What the rest of a path names, as `stat.S_IFMT` says; 0 when it names nothing.

        Raises:
            OperandOutsideError: The way leads out of the folder.
            OperandUnreadableError: It can't be looked at.
        """
        with self._aside() as way, _told():
            try:
                way.enter(rest)
            except (FileNotFoundError, NotADirectoryError):
                return 0
            return stat.S_IFMT(os.fstat(way.stack[-1]).st_mode)

    def go(self, rest: str) -> None:
        """Go where the rest of a path leads.

        Raises:
            OperandOutsideError: The way leads out of the folder.
            OperandUnreadableError: There is nothing, or it can't be looked at.
        """
        with _told():
            self.enter(rest)

    def enter(self, rest: str) -> None:
        """Walk on, with the system's own errors."""
        if len(os.fsencode(rest)) > _LONGEST:
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
        """Hold what stands under this name (rule 1)."""
        held = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.stack[-1])
        self.stack.append(held)
        self.names.append(name)
        if _mount_of(held) != self.mount:
            raise OperandOutsideError(f"it is on something that is mounted beneath `{self.folder}`")  # 3
        state = os.fstat(held)
        if (state.st_dev, state.st_ino) in self.closed:
            raise OperandOutsideError(_OWN)  # 4

    def _target(self) -> str:
        """Where the link that is held leads, from the place where the walk is then (rule 2)."""
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
        """Another walk from here, that leaves this one where it is."""
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
    """A walk that begins at a declared folder, whose own links are followed: a person wrote it.

    Raises:
        OperandUnreadableError: There is no such folder, or none that may be entered.
    """
    if not hasattr(os, "O_PATH"):
        raise OperandUnreadableError("this system has no way to look at it that nobody can mislead")
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
    """The number of the mount that a handle is on, by the system's word: whoever serves it is not asked."""
    for line in Path(f"/proc/self/fdinfo/{descriptor}").read_text(encoding="ascii").splitlines():
        name, _, number = line.partition(":")
        if name == "mnt_id":
            return number.strip()
    raise OperandUnreadableError("the system does not say what it is mounted by")


@contextmanager
def _told() -> Iterator[None]:
    """What the system says, as an error of ours."""
    try:
        yield
    except OSError as error:
        words = (error.strerror or "the system refused it").lower()
        raise OperandUnreadableError(f"it can't be looked at: {words}") from error
    except ValueError as error:
        raise OperandUnreadableError("its path can't be one") from error

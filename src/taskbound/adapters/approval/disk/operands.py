"""What stands behind the arguments of a call, found by this process itself and by nobody's word.

1. A file is what its content, its resolved path, its inode and its device are. It is read whole, through the
   one handle that was walked to, and is refused when it changed meanwhile, or holds more or less than said.
2. A revision is the object that the ref names now (`revision`).
3. For one call so many bytes are read in all: what is larger can't be asked about.
"""

from __future__ import annotations

import os
from hashlib import sha256
from typing import TYPE_CHECKING, Final, assert_never

from taskbound.adapters.approval.disk.revision import revision_of
from taskbound.adapters.approval.disk.walk import opened_folder
from taskbound.core.approval import Operand, OperandOutsideError, OperandUnreadableError, ProbeKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from taskbound.adapters.approval.disk.walk import Found
    from taskbound.core.approval import Look


MAX_BYTES: Final = 32 * 1_048_576
"""Bytes that are read for one call (rule 3)."""
_PIECE: Final = 1_048_576


class DiskOperands:
    """Looks at files and repositories of this machine (`ports.approval.operands.Operands`)."""

    def __init__(self, *, closed: Iterable[Path] = ()) -> None:
        """Never look into these folders."""
        states = [one.stat() for one in closed]
        self._closed = frozenset((one.st_dev, one.st_ino) for one in states)

    def look(self, looks: Sequence[Look]) -> tuple[Operand, ...]:
        """What is behind each of these now."""
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

    def _look(self, look: Look, left: int) -> tuple[Operand, int]:
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

    def _file(self, look: Look, left: int) -> tuple[dict[str, str], int]:
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

    def _revision(self, look: Look) -> dict[str, str]:
        with opened_folder(look.probe.where, self._closed) as walk:
            if look.repository:
                walk.go(walk.beneath(_absolute(look.repository, look.directory)))
            return revision_of(walk, look.value)


def _operand(look: Look, said: dict[str, str]) -> Operand:
    return Operand(place=look.place, kind=look.probe.kind, found=tuple(sorted(said.items())))


def _absolute(path: str, directory: str) -> str:
    """The path as the server's own system would read it."""
    return path if path.startswith("/") else f"{directory.rstrip('/')}/{path}"


def _digest(found: Found, left: int) -> str:
    """The SHA-256 of the whole file (rule 1)."""
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

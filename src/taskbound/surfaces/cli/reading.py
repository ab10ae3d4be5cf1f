"""Reads input of commands: durations, scopes, files."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.core.errors import MalformedError, UnavailableError
from taskbound.core.scope import parse_scope
from taskbound.surfaces.cli.screen import shown
from taskbound.wire.document import read_document

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from taskbound.core.scope import Scope


_UNITS: Final = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_LENGTH: Final = re.compile(r"(?:(\d{1,4})d)?(?:(\d{1,6})h)?(?:(\d{1,8})m)?(?:(\d{1,9})s)?", re.ASCII)
_LARGEST: Final = 1024 * 1024


class BadInputError(MalformedError):
    """An argument or input has an invalid value."""

    code = "bad-input"
    remedy = "see the command's `--help`"


class FileError(UnavailableError):
    """A named file can't be read or written."""

    code = "file-unavailable"
    remedy = "look at the path and at who may read or write it"


def parse_seconds(text: str) -> int:
    """Return the seconds of a duration such as `30m`, `1h30m` or `2d`, or raise BadInputError."""
    found = _LENGTH.fullmatch(text)
    if not text or found is None:
        raise BadInputError(
            f"`{shown(text)}` is no length of time", remedy="write it as in 90s, 30m, 1h30m or 2d"
        )
    return sum(int(part) * unit for part, unit in zip(found.groups(), _UNITS.values(), strict=True) if part)


def spell_seconds(seconds: int) -> str:
    parts = []
    for letter, unit in _UNITS.items():
        count, seconds = divmod(seconds, unit)
        if count:
            parts.append(f"{count}{letter}")
    return "".join(parts) or "0s"


def read_file(name: str, *, largest: int = _LARGEST) -> bytes:
    """Return a file's bytes (`-` is standard input); `largest` is in bytes."""
    try:
        if name == "-":
            raw = sys.stdin.buffer.read(largest + 1)
        else:
            with Path(name).open("rb") as stream:
                raw = stream.read(largest + 1)
    except OSError as error:
        raise FileError(f"`{shown(name)}` can't be read: {error.strerror or error}") from error
    if len(raw) > largest:
        raise BadInputError(f"`{shown(name)}` is larger than {largest} bytes")
    return raw


def read_lines(name: str) -> Iterator[bytes]:
    try:
        if name == "-":
            yield from sys.stdin.buffer
            return
        with Path(name).open("rb") as stream:
            yield from stream
    except OSError as error:
        raise FileError(f"`{shown(name)}` can't be read: {error.strerror or error}") from error


def read_scope(name: str) -> tuple[Scope, msgspec.Raw]:
    document = read_document(read_file(name), name)
    with document.pointing():
        scope = parse_scope(document.value)
    return scope, msgspec.Raw(scope.canonical)


def write_file(name: str, pieces: Iterable[bytes]) -> None:
    """Write a file with mode 0600, replacing an old one atomically; `-` is standard output."""
    if name == "-":
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return
    path = Path(name)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise FileError(f"`{shown(name)}` can't be written: {error.strerror or error}") from error
    try:
        with os.fdopen(fd, "wb") as stream:
            for piece in pieces:
                stream.write(piece)
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(path)
    except OSError as error:
        raise FileError(f"`{shown(name)}` can't be written: {error.strerror or error}") from error
    finally:
        fresh.unlink(missing_ok=True)

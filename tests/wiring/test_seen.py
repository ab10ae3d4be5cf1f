"""What a data directory remembers, where the disk takes a part of it (`wiring.seen`; F6)."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from taskbound.wiring.seen import replace_durably


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """A disk that takes so many bytes of a file: of a longer writing the first of them, without a word."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("before", [b"", b"of before"])
def test_f6_what_a_full_disk_takes_a_part_of_takes_no_place(tmp_path: Path, before: bytes) -> None:
    path = tmp_path / "log-seen"
    if before:
        path.write_bytes(before)
    with room_for(100), pytest.raises(OSError, match="large"):
        replace_durably(path, b"x" * 600)
    assert (path.read_bytes() if path.exists() else b"") == before
    replace_durably(path, b"y" * 600)
    assert path.read_bytes() == b"y" * 600
    assert path.stat().st_mode & 0o777 == 0o600

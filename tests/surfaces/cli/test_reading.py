from __future__ import annotations

import io
import stat
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.core.action.errors import DuplicateKeyError
from taskbound.core.scope import ScopeSyntaxError
from taskbound.surfaces.cli.reading import (
    BadInputError,
    FileError,
    parse_seconds,
    read_file,
    read_lines,
    read_scope,
    spell_seconds,
    write_file,
)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("1h30m", 5400), ("2d", 172_800), ("1d1h1m1s", 90_061)]
)
def test_a_length_of_time_is_read_as_people_write_it(text: str, seconds: int) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "30", "m30", "1.5h", "-1m", "30m1h", "1 h", "30M", "٣m", "1w", "9999999999s"]
)
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(BadInputError):
        parse_seconds(text)


@given(st.integers(min_value=1, max_value=30 * 86_400))
def test_a_length_of_time_is_spelled_as_it_is_read(seconds: int) -> None:
    assert parse_seconds(spell_seconds(seconds)) == seconds


def test_a_scope_is_read_strictly_and_sent_in_its_canonical_form(tmp_path: Path) -> None:
    path = tmp_path / "scope.json"
    path.write_text('{ "grants": [ {"tool": "git__git_log", "others": "any"} ] }', encoding="utf-8")
    scope, raw = read_scope(str(path))
    assert bytes(raw) == scope.canonical
    path.write_text('{"grants": [], "grants": []}', encoding="utf-8")
    with pytest.raises(DuplicateKeyError) as caught:
        read_scope(str(path))
    assert caught.value.where == f"{path}:1:16"


def test_a_file_that_is_too_large_or_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 11)
    with pytest.raises(BadInputError, match="larger than 10"):
        read_file(str(tmp_path / "large"), largest=10)
    with pytest.raises(FileError, match="No such file"):
        read_file(str(tmp_path / "none"))
    with pytest.raises(FileError, match="No such file"):
        list(read_lines(str(tmp_path / "none")))


def test_a_dash_reads_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"abc")))
    assert read_file("-") == b"abc"


def test_a_written_file_is_the_users_alone_and_replaced_only_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")

    def pieces() -> list[bytes]:
        raise OSError(28, "no space")

    with pytest.raises(FileError, match="no space"):
        write_file(str(path), (piece for _ in range(1) for piece in pieces()))
    assert path.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["out"], "nothing half is left"
    write_file(str(path), [b"a", b"b"])
    assert path.read_bytes() == b"ab"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_error_in_a_scope_names_the_file_the_line_and_the_column(tmp_path: Path) -> None:
    path = tmp_path / "scope.yaml"
    path.write_text("grants:\n  - tool: fs__read\n    uses: 0\n", encoding="utf-8")
    with pytest.raises(ScopeSyntaxError, match=r"`grants\[0\].uses` must be from 1") as caught:
        read_scope(str(path))
    assert caught.value.where == f"{path}:3:5"
    path.write_text("grants:\n  - tool: fs__read\n    uses: 1\n", encoding="utf-8")
    assert read_scope(str(path))[0].grants[0].uses == 1

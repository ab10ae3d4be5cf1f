from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.surfaces.cli.doctor.findings import look_at_copies
from taskbound.surfaces.cli.plugs import Copies
from taskbound.wiring.copies import manifest_of, newest_copy
from taskbound.wiring.seen import journal_of
from taskbound.wiring.store import DATABASE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.surfaces.cli.installation import Installation

DAY = 24 * 3600 * 1_000_000


def found(place: Installation) -> list[tuple[str, str, str]]:
    """Level, name and text of what the doctor says of copies."""
    findings: list[dict[str, Any]] = json.loads(place("doctor", "--json").out)["findings"]
    return [(one["level"], one["name"], one["text"]) for one in findings if one["about"] == "copies"]


def test_the_newest_copy_is_known_until_it_is_gone_or_another_one(
    shared: Installation, tmp_path: Path
) -> None:
    assert found(shared) == [("warn", "copy", "no copy of the store is known here")]
    for name in ("monday.db", "tuesday.db"):
        shared.start_task()
        assert shared("db", "backup", str(tmp_path / name)).status == 0
        assert found(shared) == [("ok", "copy", f"the newest copy is 0 hours old: `{tmp_path / name}`")]
    gone = ("warn", "copy", f"the newest copy, 0 hours old, is not at `{tmp_path / 'tuesday.db'}` any more")
    other = manifest_of(tmp_path / "tuesday.db")
    manifest_of(tmp_path / "monday.db").replace(other)
    assert found(shared) == [gone], "beside it is the manifest of another copy"
    other.unlink()
    assert found(shared) == [gone]
    assert "Copies of the store" in shared("doctor").out
    (shared.home / "newest-copy").write_text("{}")
    ((level, _, text),) = found(shared)
    assert (level, "which copy was made last, can't be read" in text) == ("warn", True)


def test_a_copy_that_failed_is_not_the_newest(shared: Installation, tmp_path: Path) -> None:
    assert shared("db", "backup", str(tmp_path / "first.db")).status == 0
    before = newest_copy(shared.home)
    assert shared("db", "backup", str(tmp_path / "first.db")).status == 2
    assert shared("db", "backup", str(tmp_path / "none" / "first.db")).status == 4
    assert newest_copy(shared.home) == before


def test_a_copy_that_can_not_be_written_down_is_made_and_that_is_said(
    shared: Installation, tmp_path: Path
) -> None:
    (shared.home / "newest-copy").unlink(missing_ok=True)
    (shared.home / "newest-copy").mkdir()
    made = shared("db", "backup", str(tmp_path / "copy.db"))
    (shared.home / "newest-copy").rmdir()
    assert (made.status, "is made and whole, but that can't be written down" in made.err) == (4, True), made
    assert manifest_of(tmp_path / "copy.db").is_file()


def test_a_restore_that_is_not_over_is_broken(fresh: Installation) -> None:
    fresh.home.mkdir(mode=0o700)
    journal_of(fresh.home / DATABASE).write_text("{}")
    looked = fresh("doctor")
    assert (looked.status, "was begun and is not over: no daemon starts" in looked.out) == (1, True), looked
    assert "run `taskbound db restore` again" in looked.out


@pytest.mark.parametrize(
    ("age", "level", "words"),
    [(6 * DAY, "ok", "6 days old"), (8 * DAY, "warn", "8 days old"), (-DAY, "ok", "0 hours")],
)
def test_a_copy_of_more_than_a_week_is_old(age: int, level: str, words: str) -> None:
    now = 1_700_000_000_000_000
    (one,) = look_at_copies(Copies(path="/srv/copy.db", made=now - age, there=True), now)
    assert (one.level, words in one.text, bool(one.advice)) == (level, True, level == "warn")

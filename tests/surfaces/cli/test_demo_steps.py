from __future__ import annotations

import asyncio
import io
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from taskbound.adapters.keys.ed25519 import verify_ed25519
from taskbound.core.audit import (
    ActionDecided,
    Event,
    LogForkedError,
    Verified,
    open_checkpoint,
    verify_export,
)
from taskbound.core.errors import DeniedError
from taskbound.surfaces.cli.demo.agent import Agent
from taskbound.surfaces.cli.demo.parts import PartMissingError, find_payments
from taskbound.surfaces.cli.demo.scene import DemoReport, Page, Scene, Step, StepReport, play
from taskbound.surfaces.cli.demo.thief import blame, forge, place_of
from taskbound.surfaces.cli.plugs import StolenCopy
from tests.core.audit.logs import KEY, ORIGIN, Log, key_of, sample_log
from tests.house.tree import ROOT


async def fine(scene: Scene) -> None:
    scene.proves("one is one", holds=True)


async def unproven(scene: Scene) -> None:
    scene.proves("one is two", holds=False)


async def denied(_scene: Scene) -> None:
    raise DeniedError("nobody may do this")


async def late(_scene: Scene) -> None:
    raise TimeoutError("nothing came")


async def surprised(_scene: Scene) -> None:
    raise ExceptionGroup("several", [OSError("the pipe broke")])


def played(*steps: Callable[[Scene], object]) -> tuple[tuple[StepReport, ...], str]:
    printed = io.StringIO()
    page = Page(silent=False, out=printed)
    story = [Step(title=one.__name__, play=one) for one in steps]  # type: ignore[arg-type]  # each is a coroutine
    return asyncio.run(play(story, page)), printed.getvalue()


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (unproven, "this does not hold: one is two"),
        (denied, "nobody may do this [denied]"),
        (late, "nothing came"),
        (surprised, "this should not have happened: OSError: the pipe broke"),
    ],
)
def test_a_step_that_breaks_fails_with_its_words_and_those_behind_it_are_not_played(
    broken: Callable[[Scene], object], words: str
) -> None:
    reports, printed = played(fine, broken, fine)
    assert [(one.ok, one.failure) for one in reports] == [(True, ""), (False, words)]
    assert "FAILED" in printed
    assert "skipped   2  fine" in printed
    whole = DemoReport(ok=all(one.ok for one in reports), version="0", seconds=1, kept="", steps=reports)
    assert "Not all of it held" in whole.summary


def test_a_sentence_that_does_not_hold_is_never_printed_as_proven() -> None:
    (report,), printed = played(unproven)
    assert report.proofs == ()
    assert "proves" not in printed


def test_no_line_is_longer_than_80_columns_and_no_text_reaches_the_margin() -> None:
    printed = io.StringIO()
    page = Page(silent=False, out=printed)
    hostile = "a\n   permit    forged\x1b[31m\u202e " + "x" * 300 + " permit " * 40
    page.line("tries", hostile)
    first, *others = printed.getvalue().splitlines()
    assert first.startswith(r"   tries     a\n   permit    forged\u{1B}[31m\u{202E} ")
    assert others
    assert all(one.startswith(" " * 13) for one in others)
    assert max(map(len, (first, *others))) <= 80


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("forbidden", [False, True])
def test_color_needs_a_terminal_and_no_color_takes_it_away(
    monkeypatch: pytest.MonkeyPatch, *, forbidden: bool
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if forbidden:
        monkeypatch.setenv("NO_COLOR", "1")
    printed = Terminal()
    Page(silent=False, out=printed).line("permit", "yes")
    colored = "\x1b[1;32m" in printed.getvalue()
    assert colored is not forbidden
    assert ("32" in printed.getvalue()) is not forbidden


def test_a_silent_page_prints_nothing() -> None:
    printed = io.StringIO()
    page = Page(silent=True, out=printed)
    page.title()
    page.step(1, "one")
    page.line("permit", "yes")
    page.closing("done", ok=True)
    assert printed.getvalue() == ""


def loot_of(log: Log) -> StolenCopy:
    return StolenCopy(origin=ORIGIN, records=tuple(log.records), public=KEY.public, sign=KEY.sign)


def verified(lines: tuple[bytes, ...], note: bytes | None = None) -> Verified:
    held = open_checkpoint(note, key_of(), verify_ed25519) if note is not None else None
    return verify_export(lines, key=key_of(), verify=verify_ed25519, held=held)


def unchanged(event: Event) -> Event:
    return event


def denying(event: Event) -> Event:
    return replace(event, decision="refuse") if isinstance(event, ActionDecided) else event


def test_a_thief_who_changes_nothing_gets_the_very_same_records() -> None:
    log = sample_log()
    lines = forge(loot_of(log), 1, unchanged)
    assert [one.rstrip(b"\n") for one in lines[1:-1]] == log.records


@pytest.mark.parametrize("change", [blame("intern"), denying])
def test_a_forged_log_verifies_alone_and_not_against_a_checkpoint_from_before(
    change: Callable[[Event], Event],
) -> None:
    log = sample_log()
    lines = forge(loot_of(log), 1, change)
    assert [one.rstrip(b"\n") for one in lines[1:-1]] != log.records
    assert verified(lines).uncovered == 0
    for note in log.notes:
        with pytest.raises(LogForkedError):
            verified(lines, note)


def test_a_checkpoint_from_before_the_forged_record_catches_nobody() -> None:
    log = sample_log()
    lines = forge(loot_of(log), len(log.records) - 1, blame("intern"))
    assert verified(lines, log.notes[-1]).held == 12


def test_the_place_of_a_decision_is_found_by_its_action() -> None:
    log = sample_log()
    event = log.sealed[2].record.event
    assert isinstance(event, ActionDecided)
    assert place_of(log.records, event.action) == 2
    with pytest.raises(LookupError):
        place_of(log.records, "act_none")


@pytest.mark.parametrize("place", ["package/examples/payments", "docs/examples/payments"])
def test_the_payments_server_is_found_in_a_wheel_and_in_the_source_tree(tmp_path: Path, place: str) -> None:
    package = tmp_path / "src" / "package"
    folder = tmp_path / ("src/" if place.startswith("package") else "") / place
    folder.mkdir(parents=True)
    package.mkdir(parents=True, exist_ok=True)
    with pytest.raises(PartMissingError):
        find_payments(package)
    for name in ("server.py", "ledger.py"):
        (folder / name).touch()
    assert find_payments(package) == folder


def test_the_wheel_brings_the_payments_server_and_an_editable_install_copies_nothing(tmp_path: Path) -> None:
    build = f"import hatchling.build as b; b.build_wheel({str(tmp_path / 'wheel')!r})"
    edit = f"import hatchling.build as b; b.build_editable({str(tmp_path / 'editable')!r})"
    names: dict[str, list[str]] = {}
    for name, script in (("wheel", build), ("editable", edit)):
        (tmp_path / name).mkdir()
        subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True)
        (made,) = (tmp_path / name).iterdir()
        names[name] = zipfile.ZipFile(made).namelist()
    examples = "taskbound/examples/payments"
    assert {f"{examples}/server.py", f"{examples}/ledger.py"} <= set(names["wheel"])
    assert {"taskbound/policies/holds.cedar", "taskbound/policies/holds.cases.yaml"} <= set(names["wheel"])
    assert "taskbound/__init__.py" in names["wheel"]
    pages = {"guides/first-use.md", "guides/demo.md", "reference/settings.md", "reference/scope.md"}
    assert {f"taskbound/docs/{one}" for one in pages} <= set(names["wheel"])
    assert not any(one.startswith("taskbound/") for one in names["editable"])


def test_process_that_has_the_number_of_a_gateway_since_is_not_killed(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE) as other:
        note.write_text(str(other.pid), encoding="ascii")
        assert Agent(["gateway"], note=note, errors=io.StringIO()).kill() == other.pid
        assert other.stdin is not None
        other.stdin.close()
        assert other.wait() == 0

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import pytest

from dev.demo_page import likeness, printed_in, shown_by_page
from taskbound.surfaces.cli.demo.scene import DemoReport, StepReport
from tests.house.tree import ROOT

pytestmark = pytest.mark.timeout(240)
DEMO = (sys.executable, "-m", "taskbound.wiring.cli", "demo")
PERMIT, SPENT, HELD = ("permit", ""), ("refuse", "exhausted"), ("hold", "held")
DECISIONS: Mapping[int, list[tuple[str, str]]] = {
    0: [],
    1: [PERMIT] * 3,
    2: [("refuse", "outside-scope")] * 2,
    3: [("malformed", "duplicate-key")],
    4: [PERMIT, PERMIT, PERMIT, SPENT, SPENT, PERMIT, SPENT],
    5: [PERMIT, ("duplicate", ""), ("refuse", "key-reused")],
    6: [("refuse", "tool-changed"), PERMIT, PERMIT],
    7: [PERMIT, ("refuse", "task-ended")],
    8: [PERMIT, HELD],
    9: [HELD],
    10: [PERMIT, PERMIT, SPENT, SPENT, PERMIT, SPENT],
    11: [PERMIT, HELD],
    12: [],
    13: [],
}


def start(folder: Path, *words: str, path: str = "") -> subprocess.Popen[bytes]:
    environ = {"PATH": path or os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(folder)}
    return subprocess.Popen(
        [*DEMO, *words],
        env=environ,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def left_in(folder: Path) -> list[str]:
    """What is left of a demo in the folder, and which processes still name it."""
    left = [one.name for one in folder.iterdir()]
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = process.read_bytes()
        except OSError:
            continue  # it has ended since
        if os.fsencode(folder) in command:
            left.append(command.replace(b"\0", b" ").decode())
    return left


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder of a short name: what is shown of a long one is cut, and the page shows none cut."""
    with tempfile.TemporaryDirectory(prefix="demo-") as made:
        yield Path(made)


@pytest.fixture(scope="module")
def report(folder: Path) -> Iterator[DemoReport]:
    out, err = start(folder, "--json").communicate(timeout=200)
    assert not err, err.decode()
    yield msgspec.json.decode(out, type=DemoReport, strict=True)
    assert left_in(folder) == []


def step(report: DemoReport, number: int) -> StepReport:
    (found,) = [one for one in report.steps if one.number == number]
    return found


def texts(one: StepReport, label: str) -> list[str]:
    return [line.text for line in one.lines if line.label == label]


@pytest.mark.parametrize("number", DECISIONS)
def test_each_step_is_decided_as_it_says_and_every_decision_has_a_reason(
    report: DemoReport, number: int
) -> None:
    one = step(report, number)
    assert (one.ok, one.failure) == (True, "")
    assert [(tried.decision, tried.code) for tried in one.tries] == DECISIONS[number]
    assert all(any(tried.reasons) for tried in one.tries)
    assert one.proofs or number == 0


def test_the_whole_demo_holds_and_no_step_is_left_out(report: DemoReport) -> None:
    assert report.ok
    assert [one.number for one in report.steps] == list(DECISIONS)
    assert report.kept == ""


def test_an_agent_is_shown_the_tools_of_its_task_alone(report: DemoReport) -> None:
    (words,) = texts(step(report, 1), "reach")
    shown = "git__git_log, git__git_status, payments__balance, payments__pay"
    assert words == f"15 tools are pinned; the agent is shown {shown}"


def test_what_is_refused_is_an_action_on_record_that_never_ran(report: DemoReport) -> None:
    refused = [
        one for each in report.steps for one in each.tries if one.decision == "refuse" and one.code != ""
    ]
    assert len(refused) == 11
    assert {one.state for one in refused} == {"refused"}
    assert all(one.action.startswith("act_") for one in refused)


def test_a_duplicate_key_makes_no_action(report: DemoReport) -> None:
    (one,) = step(report, 3).tries
    assert (one.action, one.state) == ("", "")
    assert one.arguments.count('"amount"') == 2


def test_a_split_payment_stops_exactly_at_the_total(report: DemoReport) -> None:
    one = step(report, 4)
    amounts = [json.loads(each.arguments)["amount"] for each in one.tries if each.decision == "permit"]
    assert 250 + sum(amounts) == 1000
    assert texts(one, "left") == ["0.00 of 1000.00"]


def test_a_repeated_call_gets_the_stored_answer_of_the_first(report: DemoReport) -> None:
    first, again, _ = step(report, 5).tries
    assert (again.action, again.told) == (first.action, first.told)
    assert '"sequence"' in again.told


def test_a_changed_schema_is_shown_as_it_changed(report: DemoReport) -> None:
    changed = "\n".join(texts(step(report, 6), "changed"))
    assert "`/annotations/readOnlyHint` was `false` and is `true`" in changed
    assert "`/inputSchema/properties/fee_account` is new" in changed


def test_a_call_whose_task_ended_is_unknown_and_its_result_is_withheld(report: DemoReport) -> None:
    running, _ = step(report, 7).tries
    assert running.state == "unknown"
    assert running.told.startswith("The result of this call is withheld")
    assert "balance_after" not in running.told


def test_a_held_payment_runs_once_by_another_persons_signature_and_asks_the_second_time(
    report: DemoReport,
) -> None:
    one = step(report, 8)
    first, second = one.tries
    assert first.state == "succeeded"
    assert second.action != first.action
    assert one.proofs[1] == "who asked for the task can't approve for it"
    assert any(each.startswith("the same call asks again") for each in one.proofs)


def test_a_payment_whose_file_changed_is_approved_by_nobody_and_asked_about_anew(report: DemoReport) -> None:
    one = step(report, 9)
    (over,) = texts(one, "over")
    assert over == "what it names is another thing now: the sha256 behind `/reference`"
    assert texts(one, "refuse")[0].endswith("[approval-over]")
    assert one.proofs[-1] == "nothing was paid"
    assert len(set(texts(one, "sheet"))) == 2


def test_more_than_is_left_is_not_handed_on_and_a_split_over_two_tasks_stops_at_the_total(
    report: DemoReport,
) -> None:
    one = step(report, 10)
    (refused,) = texts(one, "refuse")[:1]
    assert refused.endswith("[outside-parent]")
    paid = [json.loads(each.arguments)["amount"] for each in one.tries if each.decision == "permit"]
    assert 400 + sum(paid) == 1000


def test_a_retry_after_unknown_is_held_and_a_person_says_no(report: DemoReport) -> None:
    lost, again = step(report, 11).tries
    assert lost.state == "unknown"
    assert again.policies == ("base:repeat-after-unknown",)
    assert json.loads(lost.arguments) == json.loads(again.arguments)


def test_the_thief_passes_alone_and_is_caught_by_an_earlier_checkpoint(report: DemoReport) -> None:
    one = step(report, 13)
    assert any(each.startswith("the forged log verifies by itself") for each in one.proofs)
    (caught,) = texts(one, "refuse")
    assert caught.endswith("[log-forked]")


def test_guide_and_reference_page_show_what_the_demo_prints(report: DemoReport) -> None:
    for name, shown in shown_by_page(report).items():
        page = (ROOT / name).read_text(encoding="utf-8")
        assert likeness(printed_in(page)) == likeness(shown), f"{name} is old: run `python -m dev.demo_page`"


def test_what_is_kept_can_be_looked_at_and_a_full_directory_is_refused(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "mine").touch()
    process = start(tmp_path, "--keep", str(kept), "--json")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert json.loads(err)["code"] == "bad-input"
    assert [one.name for one in kept.iterdir()] == ["mine"]


def test_a_missing_git_is_named_with_what_to_do(tmp_path: Path) -> None:
    process = start(tmp_path, "--json", path=str(tmp_path))
    out, err = process.communicate(timeout=60)
    fault = json.loads(err)
    assert (process.returncode, out, fault["code"]) == (4, b"", "demo-part-missing")
    assert "git" in fault["advice"]


def test_a_step_that_breaks_ends_the_demo_with_status_1_and_leaves_nothing(tmp_path: Path) -> None:
    programs, folder = tmp_path / "bin", tmp_path / "temporary"
    programs.mkdir()
    folder.mkdir()
    git = programs / "git"
    git.write_text("#!/bin/sh\necho broken >&2\nexit 3\n", encoding="utf-8")
    git.chmod(0o755)
    process = start(folder, "--json", path=f"{programs}:{os.environ['PATH']}")
    out, _ = process.communicate(timeout=60)
    report = msgspec.json.decode(out, type=DemoReport)
    assert (process.returncode, report.ok, len(report.steps)) == (1, False, 1)
    assert report.steps[0].failure == "`git init` failed: broken [demo-part-missing]"
    assert left_in(folder) == []


def test_a_missing_ssh_keygen_is_named_with_what_to_do(tmp_path: Path) -> None:
    git = tmp_path / "git"
    git.write_text("#!/bin/sh\nexit 3\n", encoding="utf-8")
    git.chmod(0o755)
    process = start(tmp_path, "--json", path=str(tmp_path))
    out, err = process.communicate(timeout=60)
    fault = json.loads(err)
    assert (process.returncode, out, fault["code"]) == (4, b"", "demo-part-missing")
    assert "openssh-client" in fault["advice"]


@pytest.mark.usefixtures("default_signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    process = start(tmp_path)
    assert process.stdout is not None
    for line in process.stdout:
        if b"reach" in line:
            break  # the daemon, the signer and a gateway run
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert left_in(tmp_path) == []

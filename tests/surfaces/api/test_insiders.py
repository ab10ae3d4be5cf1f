from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from taskbound.core.errors import UnavailableError
from taskbound.surfaces.api.background.strangers import ProcessTree
from tests.surfaces.api.test_peer import tell

if TYPE_CHECKING:
    from pathlib import Path

RUN = (10, 100)


def end(proc: Path, pid: int) -> None:
    shutil.rmtree(proc / str(pid))


def test_whoever_was_seen_beneath_a_root_stays_inside_when_the_root_is_gone(tmp_path: Path) -> None:
    for pid, parent in ((10, 1), (20, 10), (30, 20), (40, 1)):
        tell(tmp_path, pid, parent, pid * 10)
    insiders = ProcessTree(tmp_path)
    insiders.look([(10, 100)])
    assert insiders.seen == {(10, 100), (20, 200), (30, 300)}
    for pid in (10, 20, 30):
        end(tmp_path, pid)
    tell(tmp_path, 30, 1, 300)
    tell(tmp_path, 50, 30, 500)
    insiders.look([(10, 100)])
    assert insiders.seen == {(30, 300), (50, 500)}, "what is beneath who was seen is inside too"


def test_a_number_that_went_to_another_process_is_not_inside(tmp_path: Path) -> None:
    tell(tmp_path, 10, 1, 100)
    insiders = ProcessTree(tmp_path)
    insiders.look([(10, 100)])
    end(tmp_path, 10)
    tell(tmp_path, 10, 1, 101)
    tell(tmp_path, 11, 10, 102)
    insiders.look([(10, 100)])
    assert insiders.seen == frozenset()


def test_with_nothing_to_look_beneath_nothing_is_looked_at(tmp_path: Path) -> None:
    insiders = ProcessTree(tmp_path / "none")
    insiders.look([])
    assert insiders.seen == frozenset()


def test_process_seen_beneath_a_run_stands_beneath_it_when_the_run_was_killed(tmp_path: Path) -> None:
    outer, inner, gateway = (10, 100), (20, 200), (60, 600)
    for pid, parent in ((10, 1), (20, 10), (30, 20), (40, 10), (60, 1), (70, 60)):
        tell(tmp_path, pid, parent, pid * 10)
    insiders = ProcessTree(tmp_path)
    runs = frozenset({outer, inner})
    insiders.look([outer, inner, gateway], runs=runs)
    for pid in (10, 20, 30, 40):
        end(tmp_path, pid)
    for pid, parent in ((30, 1), (40, 1), (50, 30)):
        tell(tmp_path, pid, parent, pid * 10)
    insiders.look([outer, inner, gateway], runs=runs)
    assert insiders.line([(30, 300), (1, 0)]) == ((30, 300), inner, (1, 0))
    assert insiders.line([(40, 400), (1, 0)]) == ((40, 400), outer, (1, 0))
    assert insiders.line([(51, 510), (50, 500)]) == ((51, 510), (50, 500), inner)
    assert insiders.line([(70, 700), gateway]) == ((70, 700), gateway)
    end(tmp_path, 30)
    insiders.look([outer, inner, gateway], runs=runs)
    assert insiders.line([(30, 300)]) == ((30, 300),)


def killed_run(proc: Path, home: Path) -> ProcessTree:
    """A look before and one after the run 10, and all between it and 30, was killed."""
    for pid, parent in ((10, 1), (20, 10), (30, 20), (40, 1)):
        tell(proc, pid, parent, pid * 10)
    insiders = ProcessTree(proc, home=home, boot="boot-1")
    insiders.look([RUN], runs=frozenset({RUN}))
    for pid in (10, 20, 30):
        end(proc, pid)
    tell(proc, 30, 1, 300)
    return insiders


@pytest.mark.parametrize("looked", [False, True], ids=["killed with the daemon", "killed before"])
def test_process_of_a_killed_run_stands_beneath_it_for_the_next_daemon_of_the_boot(
    tmp_path: Path, *, looked: bool
) -> None:
    (proc := tmp_path / "proc").mkdir()
    first = killed_run(proc, tmp_path)
    if looked:
        first.look([RUN], runs=frozenset({RUN}))
    tell(proc, 50, 30, 500)
    again = ProcessTree(proc, home=tmp_path, boot="boot-1")
    assert again.line([(50, 500), (30, 300)]) == ((50, 500), (30, 300), RUN)
    assert (30, 300) in again.seen
    again.look([RUN], runs=frozenset({RUN}))
    end(proc, 30)
    third = ProcessTree(proc, home=tmp_path, boot="boot-1")
    assert third.line([(50, 500)]) == ((50, 500), RUN)
    assert third.line([(40, 400), (30, 301)]) == ((40, 400), (30, 301))


def test_what_stood_beneath_a_run_in_another_boot_is_not_remembered(tmp_path: Path) -> None:
    (proc := tmp_path / "proc").mkdir()
    killed_run(proc, tmp_path)
    assert ProcessTree(proc, home=tmp_path, boot="boot-2").line([(30, 300)]) == ((30, 300),)


@pytest.mark.parametrize("text", ["", "{}", '{"boot":"boot-1","beneath":[[1]]}'])
def test_file_of_processes_that_cannot_be_read_refuses_a_start(tmp_path: Path, text: str) -> None:
    (tmp_path / "beneath-runs").write_text(text, encoding="ascii")
    with pytest.raises(UnavailableError, match="beneath-runs"):
        ProcessTree(tmp_path, home=tmp_path, boot="boot-1")


def test_look_that_cannot_be_kept_is_refused_until_it_is(tmp_path: Path) -> None:
    (proc := tmp_path / "proc").mkdir()
    (blocked := tmp_path / "beneath-runs.new").mkdir()
    with pytest.raises(UnavailableError, match="can't be written"):
        killed_run(proc, tmp_path)
    insiders = ProcessTree(proc, home=tmp_path, boot="boot-1")
    for _ in range(2):
        with pytest.raises(UnavailableError, match="can't be written"):
            insiders.look([RUN], runs=frozenset({RUN}))
    blocked.rmdir()
    insiders.look([RUN], runs=frozenset({RUN}))
    assert ProcessTree(proc, home=tmp_path, boot="boot-1").line([(20, 200)]) == ((20, 200), RUN)

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import stat
import sys
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import pytest

from taskbound.surfaces.cli.clients.files import ConfigChangedError, ConfigUnwritableError, NoUndoError
from taskbound.surfaces.cli.clients.undo import Change, apply, forget, kept, plan, undo

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TEXT = '{"mcpServers": {"a": {"command": "x", "env": {"KEY": "s3cret"}}, "b": {"command": "y"}}, "n": 1}\n'


STEPS = frozenset({"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "shutil.rmtree"})
LEAST_STEPS = 12


def change(*remove: str) -> Change:
    return Change(keys=("mcpServers",), remove=remove, name="taskbound", entry={"command": "t"})


def no(question: str) -> None:
    raise ConfigChangedError(question)


def yes(_question: str) -> None:
    return None


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.json"
    path.write_text(TEXT, encoding="utf-8")
    path.chmod(0o640)
    return path


def test_what_was_rewritten_is_put_back_byte_for_byte(home: Path, config: Path) -> None:
    apply(home, [plan(config, [change("a")])])
    assert set(json.loads(config.read_text(encoding="utf-8"))["mcpServers"]) == {"taskbound", "b"}
    (one,) = undo(home, no).restored
    assert one.how == "exact"
    assert config.read_text(encoding="utf-8") == TEXT


@pytest.mark.parametrize(
    ("before", "now", "then"), [(0o600, 0o644, 0o600), (0o644, 0o600, 0o600), (0o640, 0o640, 0o640)]
)
@pytest.mark.parametrize("more", ["", "\n"])
def test_what_is_put_back_is_open_to_nobody_it_was_closed_to(
    home: Path, config: Path, before: int, now: int, then: int, more: str
) -> None:
    config.chmod(before)
    apply(home, [plan(config, [change("a")])])
    config.write_text(config.read_text(encoding="utf-8") + more, encoding="utf-8")
    config.chmod(now)
    (one,) = undo(home, yes).restored
    assert one.how == ("servers only" if more else "exact")
    assert stat.S_IMODE(config.stat().st_mode) == then


def test_a_file_that_can_not_be_written_is_left_and_named_and_its_copy_is_not_kept(
    home: Path, config: Path
) -> None:
    planned = plan(config, [change("a")])
    config.unlink()
    done = apply(home, [planned])
    assert done.rewritten == ()
    assert [(one.path, type(one.error)) for one in done.left] == [(str(config), ConfigUnwritableError)]
    assert list((home / "undo").iterdir()) == []


def test_a_rewritten_file_keeps_its_mode_and_the_copy_is_closed(home: Path, config: Path) -> None:
    apply(home, [plan(config, [change("a")])])
    assert stat.S_IMODE(config.stat().st_mode) == 0o640
    for one in (home / "undo").rglob("*"):
        assert stat.S_IMODE(one.stat().st_mode) & 0o077 == 0


def test_a_link_stays_a_link_and_its_target_is_written(home: Path, config: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to("config.json")
    apply(home, [plan(link, [change("a")])])
    assert link.is_symlink()
    assert "taskbound" in config.read_text(encoding="utf-8")
    undo(home, no)
    assert link.is_symlink()
    assert config.read_text(encoding="utf-8") == TEXT


def test_a_byte_order_mark_stays(home: Path, config: Path) -> None:
    raw = b"\xef\xbb\xbf" + TEXT.encode()
    config.write_bytes(raw)
    apply(home, [plan(config, [change("a")])])
    assert config.read_bytes().startswith(b"\xef\xbb\xbf{")
    undo(home, no)
    assert config.read_bytes() == raw


def test_a_file_that_changed_between_reading_and_writing_is_left_alone(home: Path, config: Path) -> None:
    planned = plan(config, [change("a")])
    config.write_text(TEXT + " ", encoding="utf-8")
    (left,) = apply(home, [planned]).left
    assert "changed in the meantime" in left.error.message
    assert isinstance(left.error, ConfigChangedError)
    assert config.read_text(encoding="utf-8") == TEXT + " "


def test_a_file_that_was_left_alone_holds_up_no_other_and_has_no_undo(
    home: Path, config: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.json"
    other.write_text(TEXT, encoding="utf-8")
    plans = [plan(config, [change("a")]), plan(other, [change("a")])]
    config.write_text(TEXT + " ", encoding="utf-8")
    done = apply(home, plans)
    assert [one.path for one in done.rewritten] == [str(other)]
    assert kept(home) == (str(other),)
    assert sorted(one.name for one in (home / "undo/000001").iterdir()) == ["1.original", "manifest.json"]
    assert undo(home, no).left == ()
    assert (config.read_text(encoding="utf-8"), other.read_text(encoding="utf-8")) == (TEXT + " ", TEXT)


def test_a_file_that_changed_since_is_not_put_back_without_a_yes(home: Path, config: Path) -> None:
    apply(home, [plan(config, [change("a")])])
    changed = config.read_text(encoding="utf-8").replace('"n": 1', '"n": 2')
    config.write_text(changed, encoding="utf-8")
    done = undo(home, no)
    assert done.restored == ()
    assert "changed since" in done.left[0].error.message
    assert config.read_text(encoding="utf-8") == changed


def test_a_file_that_can_not_be_put_back_holds_up_no_other_and_can_be_put_back_later(
    home: Path, config: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.json"
    other.write_text(TEXT, encoding="utf-8")
    apply(home, [plan(config, [change("a")]), plan(other, [change("a")])])
    apply(home, [plan(config, [change("b")])])
    after = config.read_bytes()
    config.write_text("{", encoding="utf-8")
    done = undo(home, yes)
    assert [(one.path, one.how) for one in done.restored] == [(str(other), "exact")]
    assert [one.path for one in done.left] == [str(config)]
    assert kept(home) == (str(config),)
    config.write_bytes(after)
    assert [one.how for one in undo(home, no).restored] == ["exact", "exact"]
    assert config.read_text(encoding="utf-8") == TEXT


def test_an_older_rewriting_is_not_undone_before_a_newer_one_of_the_same_file(
    home: Path, config: Path
) -> None:
    two = json.loads(TEXT) | {"projects": {"/p": {"mcpServers": {"c": {"command": "z"}}}}}
    config.write_text(json.dumps(two), encoding="utf-8")
    apply(home, [plan(config, [change("a")])])
    inner = Change(keys=("projects", "/p", "mcpServers"), remove=("c",), name="t", entry={"command": "t"})
    apply(home, [plan(config, [inner])])
    changed = json.loads(config.read_text(encoding="utf-8")) | {"projects": {}}
    config.write_text(json.dumps(changed), encoding="utf-8")
    done = undo(home, yes)
    assert (done.restored, [one.path for one in done.left]) == ((), [str(config)])
    assert sorted(one.name for one in (home / "undo").iterdir()) == ["000001", "000002"]


def test_what_a_person_forgets_can_not_be_put_back_and_its_secrets_are_gone(home: Path, config: Path) -> None:
    apply(home, [plan(config, [change("a")])])
    after = config.read_bytes()
    assert kept(home) == (str(config),)
    forget(home)
    assert kept(home) == ()
    assert list((home / "undo").iterdir()) == []
    with pytest.raises(NoUndoError):
        undo(home, yes)
    assert config.read_bytes() == after


def test_a_record_of_what_was_rewritten_that_can_not_be_read_names_where_the_originals_are(
    home: Path, config: Path
) -> None:
    apply(home, [plan(config, [change("a")])])
    (home / "undo/000001/manifest.json").write_text("[", encoding="utf-8")
    with pytest.raises(ConfigUnwritableError) as caught:
        undo(home, yes)
    assert str(home / "undo/000001") in caught.value.advice
    assert (home / "undo/000001/0.original").exists()


def test_with_a_yes_servers_go_back_and_what_changed_since_stays(home: Path, config: Path) -> None:
    apply(home, [plan(config, [change("a")])])
    config.write_text(config.read_text(encoding="utf-8").replace('"n": 1', '"n": 2'), encoding="utf-8")
    (one,) = undo(home, yes).restored
    assert one.how == "servers only"
    assert json.loads(config.read_text(encoding="utf-8")) == {**json.loads(TEXT), "n": 2}


def test_a_file_that_lost_its_servers_names_the_copy_of_the_original(home: Path, config: Path) -> None:
    apply(home, [plan(config, [change("a")])])
    config.write_text("{}", encoding="utf-8")
    (left,) = undo(home, yes).left
    assert isinstance(left.error, ConfigChangedError)
    assert "0.original" in left.error.advice
    assert (home / "undo" / "000001" / "0.original").exists(), "the copy is kept for the person"


def end_at(step: int, work: Callable[[], object]) -> bool:
    """Do the work in a process that is killed before its so many-th step; whether it came so far."""

    def run() -> None:
        left = step

        def hear(event: str, _arguments: tuple[object, ...]) -> None:
            nonlocal left
            left -= event in STEPS
            if left < 0 and event in STEPS:  # killing is an event too
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hear)
        with suppress(NoUndoError):
            work()

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join(20)
    assert process.exitcode in {0, -signal.SIGKILL}
    return process.exitcode != 0


def test_wherever_rewriting_and_putting_back_are_killed_each_file_is_old_or_new(tmp_path: Path) -> None:
    new = (TEXT.replace('"a": {"command": "x", "env": {"KEY": "s3cret"}}', '"taskbound": {"command": "t"}'),)
    step = killed = 0
    while killed == step:
        home, folder = tmp_path / f"home{step}", tmp_path / f"clients{step}"
        home.mkdir(mode=0o700)
        folder.mkdir()
        files = [folder / f"{number}.json" for number in range(2)]
        for one in files:
            one.write_text(TEXT, encoding="utf-8")
        plans = [plan(one, [change("a")]) for one in files]
        rewriting = end_at(step, partial(apply, home, plans))
        assert {one.read_text(encoding="utf-8") for one in files} <= {TEXT, *new}
        putting = end_at(step, partial(undo, home, no))
        assert {one.read_text(encoding="utf-8") for one in files} <= {TEXT, *new}
        if kept(home):
            assert undo(home, no).left == ()
        assert {one.read_text(encoding="utf-8") for one in files} == {TEXT}
        killed += rewriting or putting
        step += 1
    assert step > LEAST_STEPS


def test_several_rewrites_of_one_file_are_put_back_newest_first(home: Path, config: Path) -> None:
    apply(home, [plan(config, [change("a")])])
    apply(home, [plan(config, [change("b")])])
    assert [one.how for one in undo(home, no).restored] == ["exact", "exact"]
    assert config.read_text(encoding="utf-8") == TEXT


def test_rewriting_to_the_same_bytes_keeps_no_copy(home: Path, config: Path) -> None:
    apply(home, [plan(config, [change("a")])])
    assert apply(home, [plan(config, [change()])]).rewritten == ()
    assert len(list((home / "undo").iterdir())) == 1


def test_after_putting_back_no_copy_of_a_secret_remains(home: Path, config: Path) -> None:
    apply(home, [plan(config, [change("a")])])
    undo(home, no)
    assert not [one for one in home.rglob("*") if one.is_file() and b"s3cret" in one.read_bytes()]
    with pytest.raises(NoUndoError):
        undo(home, no)


def test_an_init_that_died_before_it_rewrote_leaves_nothing_to_put_back(home: Path, config: Path) -> None:
    apply(home, [plan(config, [change("a")])])
    config.write_text(TEXT, encoding="utf-8")
    assert [one.how for one in undo(home, no).restored] == ["already as it was"]


def test_an_init_that_died_while_it_copied_leaves_nothing_to_put_back(home: Path) -> None:
    (home / "undo" / "000001").mkdir(parents=True)
    with pytest.raises(NoUndoError):
        undo(home, no)

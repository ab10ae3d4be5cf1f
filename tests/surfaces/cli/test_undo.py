from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING

import pytest

from taskbound.surfaces.cli.clients.edit import Change
from taskbound.surfaces.cli.clients.errors import ConfigChangedError, ConfigUnwritableError, NoUndoError
from taskbound.surfaces.cli.clients.undo import apply, plan, undo

if TYPE_CHECKING:
    from pathlib import Path

TEXT = '{"mcpServers": {"a": {"command": "x", "env": {"KEY": "s3cret"}}, "b": {"command": "y"}}, "n": 1}\n'


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
    (one,) = undo(home, no)
    assert one.how == "exact"
    assert config.read_text(encoding="utf-8") == TEXT


def test_the_original_is_durable_before_the_file_is_touched(home: Path, config: Path) -> None:
    planned = plan(config, [change("a")])
    config.unlink()
    with pytest.raises(ConfigUnwritableError):
        apply(home, [planned])
    assert (home / "undo" / "000001" / "0.original").read_text(encoding="utf-8") == TEXT
    assert (home / "undo" / "000001" / "manifest.json").exists()


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
    with pytest.raises(ConfigChangedError, match="changed in the meantime"):
        apply(home, [planned])
    assert config.read_text(encoding="utf-8") == TEXT + " "


def test_a_file_that_changed_since_is_not_put_back_without_a_yes(home: Path, config: Path) -> None:
    apply(home, [plan(config, [change("a")])])
    changed = config.read_text(encoding="utf-8").replace('"n": 1', '"n": 2')
    config.write_text(changed, encoding="utf-8")
    with pytest.raises(ConfigChangedError, match="changed since"):
        undo(home, no)
    assert config.read_text(encoding="utf-8") == changed


def test_with_a_yes_servers_go_back_and_what_changed_since_stays(home: Path, config: Path) -> None:
    apply(home, [plan(config, [change("a")])])
    config.write_text(config.read_text(encoding="utf-8").replace('"n": 1', '"n": 2'), encoding="utf-8")
    (one,) = undo(home, yes)
    assert one.how == "servers only"
    assert json.loads(config.read_text(encoding="utf-8")) == {**json.loads(TEXT), "n": 2}


def test_a_file_that_lost_its_servers_names_the_copy_of_the_original(home: Path, config: Path) -> None:
    apply(home, [plan(config, [change("a")])])
    config.write_text("{}", encoding="utf-8")
    with pytest.raises(ConfigChangedError) as caught:
        undo(home, yes)
    assert "0.original" in caught.value.advice
    assert (home / "undo" / "000001" / "0.original").exists(), "the copy is kept for the person"


def test_several_rewrites_of_one_file_are_put_back_newest_first(home: Path, config: Path) -> None:
    apply(home, [plan(config, [change("a")])])
    apply(home, [plan(config, [change("b")])])
    assert [one.how for one in undo(home, no)] == ["exact", "exact"]
    assert config.read_text(encoding="utf-8") == TEXT


def test_rewriting_to_the_same_bytes_keeps_no_copy(home: Path, config: Path) -> None:
    apply(home, [plan(config, [change("a")])])
    assert apply(home, [plan(config, [change()])]) == ()
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
    assert [one.how for one in undo(home, no)] == ["already as it was"]


def test_an_init_that_died_while_it_copied_leaves_nothing_to_put_back(home: Path) -> None:
    (home / "undo" / "000001").mkdir(parents=True)
    with pytest.raises(NoUndoError):
        undo(home, no)

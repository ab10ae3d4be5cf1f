from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from taskbound.wiring.home import (
    SOCKET_LIMIT,
    ForeignHomeError,
    NoHomeError,
    OpenHomeError,
    default_home,
    find_home,
    find_socket,
    make_home,
    place_socket,
    require_own_home,
)


def deep(tmp_path: Path) -> Path:
    home = tmp_path / ("d" * 100)
    make_home(home)
    return home


def test_the_data_directory_is_told_by_option_then_variable_then_custom(tmp_path: Path) -> None:
    environ = {"TASKBOUND_HOME": "/srv/one", "XDG_DATA_HOME": "/srv/data"}
    assert find_home(str(tmp_path), environ) == tmp_path
    assert find_home("", environ) == Path("/srv/one")
    assert find_home("", {"XDG_DATA_HOME": "/srv/data"}) == Path("/srv/data/taskbound")


def test_a_relative_xdg_data_home_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/u")
    monkeypatch.setattr(sys, "platform", "linux")
    assert default_home({"XDG_DATA_HOME": "data"}) == Path("/home/u/.local/share/taskbound")


def test_macos_has_its_own_place_for_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/Users/u")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert default_home({}) == Path("/Users/u/Library/Application Support/taskbound")


def test_a_named_home_is_made_absolute_and_keeps_its_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path)
    assert find_home("link/x", {}) == tmp_path / "link" / "x"


def test_a_home_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(NoHomeError, match="there is no data directory"):
        require_own_home(tmp_path / "none")


@pytest.mark.parametrize("mode", [0o750, 0o705, 0o770, 0o701, 0o710])
def test_a252_a_home_that_others_may_enter_is_refused(tmp_path: Path, mode: int) -> None:
    home = tmp_path / "home"
    make_home(home)
    home.chmod(mode)
    with pytest.raises(OpenHomeError):
        require_own_home(home)


def test_a_home_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    make_home(home)
    monkeypatch.setattr(os, "geteuid", lambda: home.stat().st_uid + 1)
    with pytest.raises(ForeignHomeError):
        require_own_home(home)


def test_a_file_in_place_of_a_home_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(ForeignHomeError):
        make_home(tmp_path / "home")


def test_a_made_home_is_closed_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make_home(tmp_path / "a" / "home")
        require_own_home(tmp_path / "a" / "home")
    finally:
        os.umask(before)


def test_the_socket_lies_in_the_home_when_its_path_fits(tmp_path: Path) -> None:
    make_home(tmp_path / "h")
    assert (
        place_socket(tmp_path / "h") == find_socket(tmp_path / "h") == tmp_path / "h" / "run" / "daemon.sock"
    )


def test_a_socket_can_be_bound_for_a_home_that_is_too_deep_for_one(tmp_path: Path) -> None:
    home = deep(tmp_path)
    assert len(os.fsencode(home / "run" / "daemon.sock")) > SOCKET_LIMIT
    path = place_socket(home)
    try:
        assert find_socket(home) == path
        assert path.parent.stat().st_mode & 0o777 == 0o700
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(str(path))
        assert place_socket(home) == path, "a second start must find the same place"
    finally:
        path.unlink(missing_ok=True)
        path.parent.rmdir()


def test_a_socket_folder_that_was_swept_away_is_made_anew(tmp_path: Path) -> None:
    home = deep(tmp_path)
    first = place_socket(home)
    first.parent.rmdir()
    second = place_socket(home)
    second.parent.rmdir()
    assert second != first


def test_a_socket_folder_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    home = deep(tmp_path)
    path = place_socket(home)
    path.parent.chmod(0o777)
    try:
        with pytest.raises(ForeignHomeError):
            find_socket(home)
    finally:
        path.parent.rmdir()


def test_a_link_in_place_of_the_socket_folder_is_refused(tmp_path: Path) -> None:
    home = deep(tmp_path)
    path = place_socket(home)
    path.parent.rmdir()
    (tmp_path / "theirs").mkdir(mode=0o700)
    path.parent.symlink_to(tmp_path / "theirs")
    try:
        with pytest.raises(ForeignHomeError):
            find_socket(home)
    finally:
        path.parent.unlink()

"""Where a guard is asked (`wiring.proxied`, rules 1 and 6): its socket, whose it is, what is left of it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from taskbound.wiring import proxied
from taskbound.wiring.accounts import open_to_group
from taskbound.wiring.home import ForeignHomeError
from taskbound.wiring.listening import CannotListenError
from taskbound.wiring.proxied import GuardInUseError
from taskbound.wiring.proxied_file import GuardFile, read_file
from tests.wiring.proxying import Nowhere, guard_file

OTHER_GROUP = 1


def file_at(folder: Path, listen: str = "") -> GuardFile:
    told = {"listen": f'"{listen}"'} if listen else {}
    return read_file(guard_file(folder, Nowhere(), "nginx", **told))


@contextmanager
def listening(file: GuardFile, group: int | None = None) -> Iterator[socket.socket]:
    """What the process listens on; the seam is the process's own."""
    with proxied._listening(file, group) as one:  # noqa: SLF001 - as `_serve` does
        yield one


def asked(place: Path) -> bool:
    """Whether somebody listens there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        return one.connect_ex(str(place)) == 0


@contextmanager
def somebody(place: Path, *, backlog: int = 1) -> Iterator[socket.socket]:
    """A program that is no guard listens there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        one.bind(str(place))
        one.listen(backlog)
        yield one


def test_a_socket_is_its_accounts_own_from_the_first_moment_and_then_of_one_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, place, modes = file_at(tmp_path), tmp_path / "guard.sock", list[int]()

    def seen(path: Path, group: int) -> None:
        modes.append(path.stat().st_mode & 0o777)
        assert not asked(path)  # nobody is answered before it is whose it is
        open_to_group(path, group)

    monkeypatch.setattr(proxied, "open_to_group", seen)
    before = os.umask(0o000)
    try:
        with listening(file, OTHER_GROUP):
            assert os.umask(0o000) == 0o000
            assert (place.stat().st_mode & 0o777, place.stat().st_gid) == (0o660, OTHER_GROUP)
            assert asked(place)
        assert modes == [0o600]
        with listening(file) as one:
            assert place.stat().st_mode & 0o777 == 0o600
            assert proxied._place(one) == str(place)  # noqa: SLF001 - as it is said
    finally:
        os.umask(before)
    assert not place.exists()


def test_of_two_at_one_place_the_second_is_refused_also_where_the_first_one_has_yet_to_listen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, place = file_at(tmp_path), tmp_path / "guard.sock"

    def slow(path: Path, group: int) -> None:
        with pytest.raises(GuardInUseError), listening(file):
            pass
        open_to_group(path, group)

    monkeypatch.setattr(proxied, "open_to_group", slow)
    with listening(file, os.getegid()):
        assert asked(place)
        place.unlink()  # whoever does so has not ended the guard
        with pytest.raises(GuardInUseError), listening(file):
            pass
    with listening(file):
        assert asked(place)
    lock = tmp_path / "guard.sock.lock"
    assert (lock.stat().st_mode & 0o777, lock.stat().st_size) == (0o600, 0)


def test_a_lock_that_leads_elsewhere_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "guard.sock.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"), listening(file_at(tmp_path)):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_no_other_programs_socket_is_taken_away_also_where_that_is_busy(tmp_path: Path) -> None:
    file, place = file_at(tmp_path), tmp_path / "guard.sock"
    with somebody(place, backlog=0), ExitStack() as asking:
        with pytest.raises(GuardInUseError, match="another program"), listening(file):
            pass
        error = 0
        while not error:  # until it is asked by so many that no more may wait
            one = asking.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            one.settimeout(0)
            error = one.connect_ex(str(place))
        with pytest.raises(GuardInUseError, match="can't be used"), listening(file):
            pass
        assert place.is_socket()


def test_what_a_dead_one_left_is_taken_away_and_what_is_no_socket_is_not(tmp_path: Path) -> None:
    file, place = file_at(tmp_path), tmp_path / "guard.sock"
    with somebody(place):
        pass
    assert place.is_socket()
    with listening(file):
        assert asked(place)
    place.write_text("somebody's")
    before = os.umask(0o022)
    try:
        with pytest.raises(OSError, match="in use"), listening(file):
            pass
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)
    assert place.read_text() == "somebody's"


def test_a_socket_that_another_has_put_there_meanwhile_is_left(tmp_path: Path) -> None:
    file, place = file_at(tmp_path), tmp_path / "guard.sock"
    with ExitStack() as other:
        with listening(file):
            place.unlink()
            other.enter_context(somebody(place))
        assert asked(place)
        place.unlink()
    with listening(file):
        place.unlink()  # and one that is gone is no fault
    assert not place.exists()


def test_nothing_is_left_of_a_guard_that_does_not_get_to_be_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(path: Path, group: int) -> None:
        raise PermissionError(f"{path} {group}")

    monkeypatch.setattr(proxied, "open_to_group", fails)
    file, place = file_at(tmp_path), tmp_path / "guard.sock"
    with pytest.raises(PermissionError), listening(file, 1):
        pass
    assert not place.exists()
    with listening(file):
        assert asked(place)


@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_a_folder_that_others_can_write_is_refused_before_anything_is_put_there(
    tmp_path: Path, mode: int
) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    file = file_at(folder)
    folder.chmod(mode)
    with pytest.raises(ForeignHomeError), listening(file):
        pass
    assert [one.name for one in folder.iterdir()] == ["guard.toml"]


@pytest.mark.parametrize(("address", "family"), [("127.0.0.1", socket.AF_INET), ("[::1]", socket.AF_INET6)])
def test_an_address_of_the_loopback_is_listened_at_said_and_nobody_elses(
    tmp_path: Path, address: str, family: int
) -> None:
    with listening(file_at(tmp_path, f"{address}:0")) as one:
        assert one.family == family
        place = proxied._place(one)  # noqa: SLF001 - as it is said
        port = one.getsockname()[1]
        assert place == f"{address}:{port}"
        with socket.create_connection((address.strip("[]"), port)):
            pass
        with pytest.raises(CannotListenError) as caught, listening(file_at(tmp_path, place)):
            pass
        assert caught.value.message == f"nothing can listen at {place}: another program listens there"
    with listening(file_at(tmp_path, place)):  # it is free again
        pass

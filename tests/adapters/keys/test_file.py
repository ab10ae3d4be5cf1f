from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from taskbound.adapters.keys.ed25519 import verify_ed25519
from taskbound.adapters.keys.file import (
    KeyDirectory,
    KeyExistsError,
    KeyExposedError,
    KeyForeignError,
    KeyInUseError,
    KeyMissingError,
    KeyTornError,
    KeyUnusableError,
    create_key_directory,
)
from taskbound.core.audit import Checkpoint
from taskbound.ports.signer import SignerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

FILES = ("key.pem", "signed.json")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    create_key_directory(tmp_path / "key")
    return tmp_path / "key"


def names(path: Path) -> list[str]:
    return sorted(one.name for one in path.iterdir())


def descriptors() -> int:
    """How many descriptors this process has open, where the system tells (Linux)."""
    place = Path("/proc/self/fd")
    return len(list(place.iterdir())) if place.is_dir() else 0


def opened(path: Path) -> None:
    KeyDirectory(path).close()


def test_a_new_key_is_there_with_its_memory_and_for_nobody_else(tmp_path: Path) -> None:
    public = create_key_directory(tmp_path / "key")
    assert names(tmp_path) == ["key"]
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o700
    for name in FILES:
        assert stat.S_IMODE((tmp_path / "key" / name).stat().st_mode) == 0o600
    with KeyDirectory(tmp_path / "key") as keys:
        assert keys.key.public == public
        verify_ed25519(public, keys.key.sign(b"x"), b"x")
        assert keys.heads.read("a").size == 0


@pytest.mark.parametrize("mask", [0o000, 0o002, 0o077])
def test_the_modes_are_right_whatever_the_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        create_key_directory(tmp_path / "key")
        with KeyDirectory(tmp_path / "key") as keys:
            keys.heads.write(Checkpoint(origin="a", size=1, root=bytes(32)))
        opened(tmp_path / "key")
    finally:
        os.umask(before)


def test_an_opened_key_is_the_one_that_was_made(place: Path) -> None:
    with KeyDirectory(place) as one:
        signature, public = one.key.sign(b"x"), one.key.public
    with KeyDirectory(place) as two:
        assert (two.key.sign(b"x"), two.key.public) == (signature, public)


def test_what_is_remembered_outlives_the_process(place: Path) -> None:
    checkpoint = Checkpoint(origin="a", size=5, root=bytes(range(32)))
    with KeyDirectory(place) as keys:
        keys.heads.write(checkpoint)
    with KeyDirectory(place) as keys:
        assert keys.heads.read("a") == checkpoint
    assert (place / "signed.json").read_text() == (
        '{"logs":{"a":{"root":"' + bytes(range(32)).hex() + '","size":5}},"v":1}\n'
    )


# --- F28: missing, wrong mode, half written, another's ----------------------------------------------------


def test_f28_a_key_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyMissingError):
        opened(tmp_path / "key")


@pytest.mark.parametrize("name", FILES)
def test_f28_a_key_without_one_of_its_files_is_refused_and_none_is_made(place: Path, name: str) -> None:
    (place / name).unlink()
    with pytest.raises(KeyMissingError, match=name):
        opened(place)
    assert not (place / name).exists()


def test_f28_a_memory_that_vanishes_while_the_signer_runs_is_missed(place: Path) -> None:
    with KeyDirectory(place) as keys:
        (place / "signed.json").unlink()
        with pytest.raises(KeyMissingError):
            keys.heads.read("a")
        with pytest.raises(SignerUnavailableError):
            keys.heads.write(Checkpoint(origin="a", size=1, root=bytes(32)))


@pytest.mark.parametrize("mode", [0o701, 0o710, 0o750, 0o755, 0o777, 0o500, 0o1700])
def test_f28_a_directory_of_another_mode_is_refused(place: Path, mode: int) -> None:
    place.chmod(mode)
    with pytest.raises(KeyExposedError, match=f"mode {mode:04o}"):
        opened(place)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("mode", [0o601, 0o604, 0o640, 0o644, 0o660, 0o666, 0o700, 0o4600])
def test_f28_a_file_of_another_mode_is_refused(place: Path, name: str, mode: int) -> None:
    (place / name).chmod(mode)
    with pytest.raises(KeyExposedError, match=name):
        opened(place)


def test_a_key_that_not_even_its_owner_may_write_is_taken(place: Path) -> None:
    (place / "key.pem").chmod(0o400)
    opened(place)


def test_f28_a_key_of_another_user_is_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    with pytest.raises(KeyForeignError, match=f"belongs to user {mine}"):
        opened(place)


def test_f28_a_key_that_this_user_may_not_open_is_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def refuse(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if path == "key.pem":
            raise PermissionError(13, "no")
        return real(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(KeyForeignError, match="this user"):
        opened(place)


@pytest.mark.parametrize("name", FILES)
def test_f28_a_file_that_was_half_written_is_refused_at_every_length(place: Path, name: str) -> None:
    whole = (place / name).read_bytes()
    for length in range(len(whole)):
        (place / name).write_bytes(whole[:length])
        with pytest.raises(KeyTornError):
            opened(place)
    (place / name).write_bytes(whole)
    opened(place)


@pytest.mark.parametrize("name", FILES)
def test_f28_a_file_with_more_in_it_than_was_written_is_refused(place: Path, name: str) -> None:
    whole = (place / name).read_bytes()
    for more in (whole + b"\n", whole + whole, b" " + whole):
        (place / name).write_bytes(more)
        with pytest.raises(KeyTornError):
            opened(place)
    (place / name).write_bytes(whole + b"x" * 2_000_000)
    with pytest.raises(KeyTornError, match="longer than it can be"):
        opened(place)


@pytest.mark.parametrize(
    "text",
    [
        "[]\n",
        "null\n",
        '{"logs":[],"v":1}\n',
        '{"logs":{},"v":2}\n',
        '{"logs":{}}\n',
        '{"logs":{},"more":1,"v":1}\n',
        '{"logs":{"a":{"root":"' + "00" * 32 + '","size":"5"}},"v":1}\n',
        '{"logs":{"a":{"root":"' + "00" * 32 + '","size":5.0}},"v":1}\n',
        '{"logs":{"a":{"root":"' + "00" * 32 + '","size":true}},"v":1}\n',
        '{"logs":{"a":{"root":"' + "00" * 31 + '","size":5}},"v":1}\n',
        '{"logs":{"a":{"root":"' + "AB" * 32 + '","size":5}},"v":1}\n',
        '{"logs":{"a":{"root":null,"size":5}},"v":1}\n',
        '{"logs":{"a":{"size":5}},"v":1}\n',
        '{"logs":{"a":5},"v":1}\n',
        '{"logs":{"a":{"root":"'
        + "00" * 32
        + '","size":5},"a":{"root":"'
        + "00" * 32
        + '","size":1}},"v":1}\n',
        "[" * 100_000,
        "9" * 5000,
    ],
    ids=lambda text: text[:60],
)
def test_f28_a_memory_that_is_not_as_it_was_written_is_refused(place: Path, text: str) -> None:
    (place / "signed.json").write_text(text)
    with pytest.raises(KeyTornError):
        opened(place)


def test_a_key_of_another_kind_is_refused(place: Path) -> None:
    other = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (place / "key.pem").write_bytes(other)
    with pytest.raises(KeyTornError, match="Ed25519"):
        opened(place)


def _link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def _second_name(path: Path) -> None:
    path.with_name("second").hardlink_to(path)


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir(0o600)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("spoil", [_link, _second_name, _pipe, _directory])
def test_what_is_not_a_file_of_its_own_is_refused(
    place: Path, name: str, spoil: Callable[[Path], None]
) -> None:
    spoil(place / name)
    with pytest.raises(KeyForeignError):
        opened(place)


def test_a_disk_that_fails_to_be_read_is_named(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def fail(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if path == "key.pem":
            raise OSError(5, "Input/output error")
        return real(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(KeyUnusableError, match="Input/output error"):
        opened(place)


def test_a_link_in_place_of_the_directory_is_refused(place: Path) -> None:
    _link(place)
    with pytest.raises(KeyForeignError):
        opened(place)


def test_a_file_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"")
    with pytest.raises(KeyForeignError):
        opened(tmp_path / "key")


# --- one holder, one key ----------------------------------------------------------------------------------


def test_a_key_that_is_held_can_not_be_held_again_until_it_is_let_go(place: Path) -> None:
    with KeyDirectory(place), pytest.raises(KeyInUseError):
        KeyDirectory(place)
    opened(place)


def test_a_key_that_another_process_holds_can_not_be_held(place: Path) -> None:
    script = (
        "import sys, pathlib\n"
        "from taskbound.adapters.keys.file import KeyDirectory\n"
        "keys = KeyDirectory(pathlib.Path(sys.argv[1]))\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(KeyInUseError):
            opened(place)
        other.kill()
        other.wait()
    opened(place)


def test_closing_twice_is_closing_once(place: Path) -> None:
    keys = KeyDirectory(place)
    keys.close()
    keys.close()
    opened(place)


def test_a_refused_key_is_not_left_held_or_open(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = descriptors()
    with KeyDirectory(place) as keys:
        keys.heads.write(Checkpoint(origin="a", size=1, root=bytes(32)))
        held = descriptors()
        with pytest.raises(KeyInUseError):
            KeyDirectory(place)
        assert descriptors() == held
    assert descriptors() == before
    whole = (place / "key.pem").read_bytes()
    (place / "key.pem").write_bytes(b"")
    with pytest.raises(KeyTornError):
        opened(place)
    (place / "key.pem").write_bytes(whole)
    mine = os.geteuid()
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: mine + 1)
        with pytest.raises(KeyForeignError):
            opened(place)
    assert descriptors() == before
    opened(place)


def test_making_a_key_leaves_nothing_open_and_syncs_its_files_then_it_then_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = descriptors()
    fsync, rename, done = os.fsync, os.rename, []

    def note_sync(descriptor: int) -> None:
        done.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    def note_rename(source: str, target: str) -> None:
        done.append(0)
        rename(source, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "rename", note_rename)
    create_key_directory(tmp_path / "key")
    assert descriptors() == before
    inodes = [one.stat().st_ino for one in (*(tmp_path / "key" / name for name in FILES), tmp_path / "key")]
    assert done == [*inodes, 0, tmp_path.stat().st_ino]


def test_where_the_system_can_reach_the_disk_itself_it_is_asked_to(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", lambda descriptor, what: asked.append((descriptor > 0, what)))
    with KeyDirectory(place) as keys:
        keys.heads.write(Checkpoint(origin="a", size=1, root=bytes(32)))
    assert asked == [(True, 51), (True, 51)]


def _empty(path: Path) -> None:
    path.mkdir()


def _dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def _file(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("make", [create_key_directory, _empty, _dangling, _file])
def test_a_key_is_never_made_over_what_is_there(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "key")
    before = names(tmp_path)
    with pytest.raises(KeyExistsError):
        create_key_directory(tmp_path / "key")
    assert names(tmp_path) == before


def test_a_key_that_can_not_be_made_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyUnusableError):
        create_key_directory(tmp_path / "nowhere" / "key")
    assert names(tmp_path) == []


@pytest.mark.parametrize("step", ["write", "fsync", "rename", "fchmod"])
def test_a_disk_that_fails_while_a_key_is_made_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, step, fail)
        with pytest.raises(KeyUnusableError, match="No space"):
            create_key_directory(tmp_path / "key")
    assert names(tmp_path) == []


def test_two_makers_at_once_make_one_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = os.rename

    def late(source: str, target: str) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(os, "rename", rename)
            create_key_directory(tmp_path / "key")
        rename(source, target)

    monkeypatch.setattr(os, "rename", late)
    with pytest.raises(KeyExistsError):
        create_key_directory(tmp_path / "key")
    assert names(tmp_path) == ["key"]
    opened(tmp_path / "key")


def test_a_key_whose_place_could_not_be_synced_is_not_said_to_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, rename, renamed = os.fsync, os.rename, []

    def note(source: str, target: str) -> None:
        rename(source, target)
        renamed.append(target)

    def fail_after(descriptor: int) -> None:
        if renamed:
            raise OSError(5, "Input/output error")
        fsync(descriptor)

    monkeypatch.setattr(os, "rename", note)
    monkeypatch.setattr(os, "fsync", fail_after)
    with pytest.raises(KeyUnusableError, match="may not be durable"):
        create_key_directory(tmp_path / "key")

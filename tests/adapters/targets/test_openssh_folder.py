from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from taskbound.adapters.targets.openssh.client import PREFIX, leave_folder, take_folder

_MAKE = """
from taskbound.adapters.targets.openssh.client import take_folder
print(take_folder()[0], flush=True)
input()
"""


def _other() -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", _MAKE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_the_folder_of_who_was_killed_goes_with_the_next_one_and_that_of_who_lives_does_not() -> None:
    killed, left = _other()
    with killed:
        killed.kill()
    lives, kept = _other()
    with lives:
        assert not left.exists()
        (kept / "hosts").write_text("", encoding="ascii")
        own = [take_folder() for _ in range(2)]
        assert (kept / "hosts").exists()
        assert own[0][0].exists()
        for one in own:
            leave_folder(*one)
        assert not any(one.exists() for one, _ in own)
        lives.kill()


def test_what_has_no_lock_and_what_a_link_leads_to_is_left(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    link = Path(f"/tmp/{PREFIX}link-{os.getpid()}")  # noqa: S108 - where such folders are
    bare = Path(f"/tmp/{PREFIX}bare-{os.getpid()}")  # noqa: S108 - as above
    link.symlink_to(tmp_path)
    bare.mkdir(mode=0o700)
    try:
        leave_folder(*take_folder())
        assert (tmp_path / "lock").exists()
        assert bare.exists()
    finally:
        link.unlink()
        bare.rmdir()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes folders that are another account's")
def test_what_is_another_accounts_is_left() -> None:
    folder = Path(f"/tmp/{PREFIX}other-{os.getpid()}")  # noqa: S108 - where such folders are
    folder.mkdir(mode=0o700)
    try:
        (folder / "lock").touch()
        os.chown(folder, 65_534, 65_534)
        leave_folder(*take_folder())
        assert (folder / "lock").exists()
    finally:
        shutil.rmtree(folder)

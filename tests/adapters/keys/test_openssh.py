from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.keys.openssh import make_key, public_half
from taskbound.core.target import BadAdminAccessError, OpensshAccess

if TYPE_CHECKING:
    from pathlib import Path


def kept(folder: Path, *words: str) -> str:
    """A private key as `ssh-keygen` makes it."""
    file = folder / "key"
    command = ["ssh-keygen", "-q", "-f", str(file), "-N", "", *words]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return file.read_text(encoding="ascii")


def test_a_key_that_is_made_is_one_to_openssh_and_each_is_another(tmp_path: Path) -> None:
    ca, key = make_key(), make_key()
    OpensshAccess(ca=ca, key=key)
    file = tmp_path / "key"
    file.write_text(ca, encoding="ascii")
    file.chmod(0o600)
    said = subprocess.run(["ssh-keygen", "-y", "-f", str(file)], check=True, capture_output=True, text=True)
    assert said.stdout.split()[:2] == public_half(ca).split()
    assert public_half(ca) != public_half(key)


@pytest.mark.parametrize(
    "words", [("-t", "ed25519"), ("-t", "ecdsa", "-b", "384"), ("-t", "rsa", "-b", "2048")]
)
def test_the_public_half_is_the_one_that_ssh_keygen_wrote(words: tuple[str, ...], tmp_path: Path) -> None:
    text = kept(tmp_path, *words)
    assert public_half(text).split() == (tmp_path / "key.pub").read_text(encoding="ascii").split()[:2]


def test_what_the_broker_could_not_use_is_refused_and_not_repeated(tmp_path: Path) -> None:
    closed = kept(tmp_path, "-t", "ed25519", "-N", "open sesame")
    (tmp_path / "key").unlink()
    short = kept(tmp_path, "-t", "rsa", "-b", "1024")
    lines = make_key().splitlines(keepends=True)
    for text, why in (
        (closed, "closed by a passphrase"),
        (short, "fewer than 2048 bits"),
        (lines[0] + lines[1] + lines[-1], "can't be read"),
        ("", "can't be read"),
    ):
        with pytest.raises(BadAdminAccessError, match=why) as met:
            public_half(text)
        assert not any(line in f"{met.value!r} {met.value.advice}" for line in text.split())
        assert met.value.__cause__ is None

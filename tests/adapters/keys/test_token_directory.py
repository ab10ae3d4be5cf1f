from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from taskbound.adapters.keys.file import (
    KeyExistsError,
    KeyExposedError,
    KeyForeignError,
    KeyInUseError,
    KeyMissingError,
    KeyTornError,
    TokenKeyDirectory,
    create_token_key_directory,
)
from taskbound.ports.signer import SignerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def place(tmp_path: Path) -> Path:
    create_token_key_directory(tmp_path / "keys")
    return tmp_path / "keys"


def pem(private: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def test_a_key_is_in_a_file_of_its_own_and_for_nobody_else(place: Path) -> None:
    with TokenKeyDirectory(place) as store:
        made = store.make()
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert sorted(one.name for one in place.iterdir()) == sorted([f"{made.kid}.pem", "lock"])
    assert stat.S_IMODE((place / f"{made.kid}.pem").stat().st_mode) == 0o600


def test_one_process_holds_the_keys_and_lets_go_of_them(place: Path) -> None:
    with TokenKeyDirectory(place), pytest.raises(KeyInUseError):
        TokenKeyDirectory(place)
    TokenKeyDirectory(place).close()


def test_a_directory_is_never_made_twice_and_never_by_opening(place: Path) -> None:
    with pytest.raises(KeyExistsError):
        create_token_key_directory(place)
    with pytest.raises(KeyMissingError):
        TokenKeyDirectory(place.parent / "other")


def linked(at: Path) -> None:
    at.rename(at.parent / "x")
    at.symlink_to("x")


CHANGES: list[tuple[Callable[[Path], object], type[BaseException]]] = [
    (lambda at: at.chmod(0o640), KeyExposedError),
    (lambda at: at.write_bytes(at.read_bytes()[:-20]), KeyTornError),
    (lambda at: at.write_bytes(b""), KeyTornError),
    (lambda at: at.write_bytes(b"x" * 5_000), KeyTornError),
    (lambda at: at.write_bytes(pem(ec.generate_private_key(ec.SECP256R1()))), KeyTornError),
    (lambda at: at.write_bytes(pem(ec.generate_private_key(ec.SECP384R1()))), KeyTornError),
    (lambda at: at.write_bytes(pem(ed25519.Ed25519PrivateKey.generate())), KeyTornError),
    (linked, KeyForeignError),
    (lambda at: (at.parent / "second").hardlink_to(at), KeyForeignError),
]


@pytest.mark.parametrize(("change", "error"), CHANGES)
def test_a_file_that_is_not_whole_or_not_the_keys_is_refused(
    change: Callable[[Path], object], error: type[BaseException], place: Path
) -> None:
    with TokenKeyDirectory(place) as store:
        made = store.make()
        change(place / f"{made.kid}.pem")
        with pytest.raises(error) as caught:
            store.open(made.kid)
    assert "PRIVATE" not in str(caught.value)


def test_a_key_that_was_half_written_is_none(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.replace
    with TokenKeyDirectory(place) as store:
        kept = store.make()

        def lost(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "replace", lost)
        with pytest.raises(SignerUnavailableError):
            store.make()
        monkeypatch.setattr(os, "replace", real)
        assert store.kids() == (kept.kid,)


def test_a_directory_that_others_reach_is_refused(place: Path) -> None:
    place.chmod(0o750)
    with pytest.raises(KeyExposedError):
        TokenKeyDirectory(place)

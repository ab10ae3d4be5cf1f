from __future__ import annotations

import stat
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from joserfc import jwe
from joserfc.jwk import OKPKey

from taskbound.adapters.keys.file import (
    KeyExistsError,
    KeyExposedError,
    KeyInUseError,
    KeyMissingError,
    KeyTornError,
    SealingDirectory,
    create_key_directory,
    create_sealing_directory,
)
from taskbound.adapters.keys.sealing import OtherKeyError, SealingKey, seal
from taskbound.core.tool import BadSecretError, Binding
from taskbound.wire.jose.compact import decode_base64url, encode_base64url
from taskbound.wire.tool import MAX_SEALED, read_sealed, require_for

if TYPE_CHECKING:
    from pathlib import Path

VALUE = "hunter2-é-hunter2"
BOUND = Binding(namespace="default", server="x", identity="a" * 64, slot="environment:TOKEN", number=1)
MOVED = [
    {"namespace": "other"},
    {"server": "y"},
    {"identity": "b" * 64},
    {"slot": "environment:OTHER"},
    {"number": 2},
]


@pytest.fixture(scope="module")
def key() -> SealingKey:
    return SealingKey.generate()


def test_what_was_sealed_is_opened_by_its_key_and_says_what_it_is_for(key: SealingKey) -> None:
    sealed = seal(VALUE, BOUND, public=key.public)
    assert key.open(sealed, BOUND) == VALUE
    assert (read_sealed(sealed).binding, read_sealed(sealed).key) == (BOUND, key.thumbprint)
    assert sealed != seal(VALUE, BOUND, public=key.public)
    assert VALUE not in repr(key)


def test_the_longest_secret_fits(key: SealingKey) -> None:
    long = replace(BOUND, server="s" * 32, slot=f"argument:{'t' * 90}/{'n' * 128}", number=2**53 - 1)
    assert len(seal("x" * 8192, long, public=key.public)) < MAX_SEALED


@pytest.mark.parametrize("change", MOVED)
def test_a_sealed_value_opens_for_no_other_server_slot_identity_number_or_namespace(
    key: SealingKey, change: dict[str, Any]
) -> None:
    sealed = seal(VALUE, BOUND, public=key.public)
    with pytest.raises(BadSecretError, match="for another"):
        key.open(sealed, replace(BOUND, **change))
    with pytest.raises(BadSecretError):
        require_for(sealed, replace(BOUND, **change))


@pytest.mark.parametrize("change", MOVED)
def test_a_header_that_was_changed_opens_for_nothing(key: SealingKey, change: dict[str, Any]) -> None:
    sealed = seal(VALUE, BOUND, public=key.public)
    other = replace(BOUND, **change)
    header = decode_base64url(sealed.partition(".")[0]) or b""
    (name,) = change
    before, after = (f'"{name}":{_json(getattr(one, name))}'.encode() for one in (BOUND, other))
    forged = encode_base64url(header.replace(before, after)) + "." + sealed.partition(".")[2]
    assert read_sealed(forged).binding == other
    with pytest.raises(BadSecretError, match="was changed"):
        key.open(forged, other)


def _json(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def test_a_value_that_is_sealed_to_another_key_is_said_to_be(key: SealingKey) -> None:
    sealed = seal(VALUE, BOUND, public=SealingKey.generate().public)
    with pytest.raises(OtherKeyError):
        key.open(sealed, BOUND)


def test_no_error_says_a_value_or_what_the_library_knew_of_it(key: SealingKey) -> None:
    sealed = seal(VALUE, BOUND, public=key.public)
    with pytest.raises(BadSecretError) as caught:
        key.open(sealed[:-1] + ("A" if sealed[-1] != "A" else "B"), BOUND)
    assert VALUE not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("value", ["short", "x" * 8193, "with\0zero in it"])
def test_what_is_no_secret_is_not_sealed(key: SealingKey, value: str) -> None:
    with pytest.raises(BadSecretError):
        seal(value, BOUND, public=key.public)


@pytest.mark.parametrize("public", ["", "A" * 42, "A" * 44, "=" * 43])
def test_a_key_that_is_none_is_refused(public: str) -> None:
    with pytest.raises(BadSecretError):
        seal(VALUE, BOUND, public=public)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a.b.c.d.e",
        "x" * 20_000,
        "e30..AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA",
        "eyJhIjoxLCJhIjoyfQ..A.A.A",
    ],
)
def test_what_is_no_sealed_secret_is_refused(text: str) -> None:
    with pytest.raises(BadSecretError):
        read_sealed(text)


@pytest.mark.parametrize("more", [{"zip": "DEF"}, {"enc": "A128GCM"}, {"alg": "ECDH-ES+A256KW"}])
def test_a_header_with_more_or_another_algorithm_is_refused(key: SealingKey, more: dict[str, str]) -> None:
    ours = OKPKey.import_key({"crv": "X25519", "kty": "OKP", "x": key.public})
    header = {"alg": "ECDH-ES", "enc": "A256GCM"} | more
    sealed = jwe.encrypt_compact(header, VALUE.encode(), ours, algorithms=[*header.values()])
    with pytest.raises(BadSecretError):
        read_sealed(sealed)


def test_a_key_is_kept_private_whole_and_by_one_process(tmp_path: Path) -> None:
    public = create_sealing_directory(tmp_path / "keys")
    with SealingDirectory(tmp_path / "keys") as held:
        assert held.key.public == public
        with pytest.raises(KeyInUseError):
            SealingDirectory(tmp_path / "keys")
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "keys" / "key.pem").stat().st_mode) == 0o600
    with pytest.raises(KeyExistsError):
        create_sealing_directory(tmp_path / "keys")
    with pytest.raises(KeyMissingError):
        SealingDirectory(tmp_path / "none")
    (tmp_path / "keys" / "key.pem").chmod(0o640)
    with pytest.raises(KeyExposedError):
        SealingDirectory(tmp_path / "keys")


def test_the_signer_s_key_is_no_egress_key(tmp_path: Path) -> None:
    create_key_directory(tmp_path / "signer")
    with pytest.raises(KeyTornError):
        SealingDirectory(tmp_path / "signer")

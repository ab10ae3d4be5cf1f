from __future__ import annotations

import json
from itertools import count
from typing import TYPE_CHECKING

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicNumbers
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from taskbound.adapters.jose import JoserfcCheck
from taskbound.adapters.keys.file import TokenKeyDirectory, create_token_key_directory
from taskbound.adapters.keys.openbao import BaoClient, OpenBaoTokenKeys, parse_bao_address
from taskbound.adapters.keys.pkcs11 import Pkcs11TokenKeys
from taskbound.core.action import canonical
from taskbound.core.clock import Instant, seconds
from taskbound.ports.token import TokenKeyGoneError
from taskbound.wire.jose import TASK_TOKEN, Trust, parse_jwks, write_jws
from tests.peers.openbao import Bao
from tests.peers.softhsm import Device
from tests.tokens import NOW, P256_N
from tests.wire.jose.kinds import SAMPLES, read_jws

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from taskbound.ports.token import TokenKeyStore

    Opener = Callable[[], AbstractContextManager[TokenKeyStore]]

TASK = SAMPLES[1]
NUMBERS = count()
NOBODY = "A" * 43


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bao]:
    made = Bao(tmp_path_factory.mktemp("bao"))
    yield made
    made.end()


@pytest.fixture(params=["file", "pkcs11", "openbao"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Opener]:
    """What opens one store, again and again."""
    match request.param:
        case "file":
            create_token_key_directory(tmp_path / "keys")
            yield lambda: TokenKeyDirectory(tmp_path / "keys")
        case "pkcs11":
            device = Device(tmp_path, monkeypatch)
            yield lambda: Pkcs11TokenKeys(module=device.module, token=device.label, pin=device.pin)
        case _:
            server: Bao = request.getfixturevalue("bao")
            client = BaoClient(parse_bao_address(server.address), token=server.token)
            prefix = f"t{next(NUMBERS)}"
            yield lambda: OpenBaoTokenKeys(client, prefix=prefix)


def verify(public: bytes, signature: bytes, message: bytes) -> None:
    (jwk,) = parse_jwks(public)
    numbers = EllipticCurvePublicNumbers(int.from_bytes(jwk.x), int.from_bytes(jwk.y), SECP256R1())
    der = encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))
    numbers.public_key().verify(der, message, ECDSA(SHA256()))


def test_a_new_key_is_found_again_by_its_name_and_is_the_same(place: Opener) -> None:
    with place() as store:
        assert store.kids() == ()
        made = store.make()
    with place() as store:
        assert store.kids() == (made.kid,)
        found = store.open(made.kid)
        assert (found.kid, found.public) == (made.kid, made.public)
        verify(made.public, found.sign(b"x"), b"x")


def test_a_key_is_named_after_itself_and_shows_nothing_private(place: Opener) -> None:
    with place() as store:
        made = store.make()
        (jwk,) = parse_jwks(made.public)
        assert made.kid == jwk.kid == jwk.thumbprint
        assert canonical(json.loads(made.public)) == made.public
        assert json.loads(made.public).keys() == {"kty", "crv", "x", "y", "kid", "alg", "use"}
        assert "BEGIN" not in repr(made)


def test_each_key_is_another_and_signs_for_itself_alone(place: Opener) -> None:
    with place() as store:
        first, second = store.make(), store.make()
        assert store.kids() == tuple(sorted({first.kid, second.kid}))
        assert len(store.kids()) == 2
        verify(second.public, store.open(second.kid).sign(b"x"), b"x")
        with pytest.raises(InvalidSignature):
            verify(first.public, second.sign(b"x"), b"x")
        with pytest.raises(InvalidSignature):
            verify(first.public, first.sign(b"x"), b"y")


def test_a128_of_two_signatures_it_is_always_the_one_with_the_lower_s(place: Opener) -> None:
    with place() as store:
        key = store.make()
        for number in range(24):
            signature = key.sign(bytes([number]) * (number * 40))
            assert len(signature) == 64
            assert 0 < int.from_bytes(signature[32:]) <= P256_N // 2
            verify(key.public, signature, bytes([number]) * (number * 40))


def test_a_token_that_it_signed_passes_the_gate(place: Opener) -> None:
    with place() as store:
        key = store.make()
        (jwk,) = parse_jwks(key.public)
        claims = {**TASK.claims, "jti": "tok_1"}
        text = write_jws(claims, kind=TASK_TOKEN, key=jwk, sign=key.sign)
    trust = Trust(issuer=TASK.issuer, audience=TASK.audience, keys=(jwk,))
    got = read_jws(text, kind=TASK_TOKEN, trust=trust, check=JoserfcCheck(), now=Instant(seconds(NOW)))
    assert (got.claims.id, got.compact.payload) == ("tok_1", canonical(claims))


def test_a_key_that_is_destroyed_is_gone_for_good_and_the_others_stay(place: Opener) -> None:
    with place() as store:
        first, second = store.make(), store.make()
        store.destroy(first.kid)
        store.destroy(first.kid)
        assert store.kids() == (second.kid,)
        with pytest.raises(TokenKeyGoneError):
            store.open(first.kid)
    with place() as store:
        assert store.kids() == (second.kid,)
        with pytest.raises(TokenKeyGoneError):
            store.open(first.kid)
        verify(second.public, store.open(second.kid).sign(b"x"), b"x")


@pytest.mark.parametrize("kid", [NOBODY, "", "../key", "a/b", "A" * 42, "*", NOBODY + "\n", "\0", "é" * 43])
def test_a124_a_name_opens_and_destroys_the_key_that_has_it_and_nothing_else(place: Opener, kid: str) -> None:
    with place() as store:
        made = store.make()
        with pytest.raises(TokenKeyGoneError):
            store.open(kid)
        store.destroy(kid)
        assert store.kids() == (made.kid,)

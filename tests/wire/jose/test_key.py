from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.core.errors import MalformedError
from taskbound.wire.jose import Algorithm, JwkSetError, parse_jwk, parse_jwks
from taskbound.wire.jose.key import on_ed25519, on_p256
from tests.tokens import b64, ed25519, es256

P = 2**255 - 19
EC, OKP = es256().members, ed25519().members

# RFC 9449's example key and the thumbprint that goes with it.
DPOP = {
    "kty": "EC",
    "crv": "P-256",
    "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
    "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
    "kid": "a",
    "alg": "ES256",
    "use": "sig",
}
# The points of order 1, 2, 4 and 8, in every spelling of their `y` below 2^255.
SMALL = [
    0,
    1,
    P - 1,
    P,
    P + 1,
    2707385501144840649318225287225658788936804267575313519463743609750303021,
    P - 2707385501144840649318225287225658788936804267575313519463743609750303021,
    55188659117513257062467267217118295137698188065244968500265048394206261417927,
    P - 55188659117513257062467267217118295137698188065244968500265048394206261417927,
]


def code_of(members: dict[str, Any]) -> str:
    try:
        parse_jwk({name: value for name, value in members.items() if value is not ...})
    except MalformedError as error:
        return error.code
    return "ok"


def y_off_by_one(members: dict[str, Any]) -> str:
    number = int.from_bytes(parse_jwk(members).y) ^ 1
    return b64(number.to_bytes(32))


BROKEN: list[tuple[dict[str, Any], str]] = [
    (EC | {"d": b64(bytes(32))}, "jwk-private"),
    (EC | {"d": "", "kty": "x"}, "jwk-private"),
    (OKP | {"d": b64(bytes(32))}, "jwk-private"),
    ({"kty": "oct", "k": "AA", "kid": "a", "alg": "HS256", "use": "sig"}, "jwk-private"),
    ({"kty": "oct", "kid": "a", "alg": "HS256", "use": "sig"}, "jwk-private"),
    (EC | {"alg": ...}, "jwk-members"),
    (EC | {"alg": "ES384"}, "jwk-members"),
    (EC | {"alg": "HS256"}, "jwk-members"),
    (EC | {"alg": "none"}, "jwk-members"),
    (EC | {"alg": ["ES256"]}, "jwk-members"),
    (EC | {"alg": "Ed25519"}, "jwk-members"),
    (OKP | {"alg": "ES256"}, "jwk-members"),
    (EC | {"kty": "RSA"}, "jwk-members"),
    (EC | {"kty": ...}, "jwk-members"),
    (EC | {"crv": "P-384"}, "jwk-members"),
    (EC | {"crv": "secp256k1"}, "jwk-members"),
    (OKP | {"crv": "X25519"}, "jwk-members"),
    (OKP | {"crv": "Ed448"}, "jwk-members"),
    (EC | {"use": "enc"}, "jwk-members"),
    (EC | {"use": ...}, "jwk-members"),
    (EC | {"key_ops": ["verify"]}, "jwk-members"),
    (EC | {"x5c": ["AA"]}, "jwk-members"),
    (EC | {"x5u": "https://example.com"}, "jwk-members"),
    (OKP | {"y": EC["y"]}, "jwk-members"),
    (EC | {"kid": ...}, "jwk-members"),
    (EC | {"kid": ""}, "jwk-members"),
    (EC | {"kid": 7}, "jwk-members"),
    (EC | {"kid": "../../dev/null"}, "jwk-members"),
    (EC | {"kid": "a\n"}, "jwk-members"),
    (EC | {"y": ...}, "jwk-members"),
    (EC | {"x": EC["x"] + "="}, "jwk-members"),
    (EC | {"x": b64(bytes(33))}, "jwk-members"),
    (EC | {"x": b64(bytes(31))}, "jwk-members"),
    (EC | {"x": 1}, "jwk-members"),
    (EC | {"y": y_off_by_one(EC)}, "jwk-point"),
    (EC | {"x": EC["y"], "y": EC["x"]}, "jwk-point"),
    (EC | {"x": b64(bytes(32)), "y": b64(bytes(32))}, "jwk-point"),
    (EC | {"x": b64(b"\xff" * 32)}, "jwk-point"),
    (OKP | {"x": b64(bytes(32))}, "jwk-point"),
]


@pytest.mark.parametrize(("members", "code"), BROKEN)
def test_a_key_that_is_not_written_as_keys_are_gets_its_one_error(members: dict[str, Any], code: str) -> None:
    assert code_of(members) == code


def test_a_key_is_read_and_written_the_same() -> None:
    for members in (EC, OKP, OKP | {"alg": "EdDSA"}):
        assert parse_jwk(members).members == members


def test_a_key_has_the_name_of_rfc_7638_whatever_its_kid_and_alg() -> None:
    assert parse_jwk(DPOP).thumbprint == "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
    assert parse_jwk(DPOP | {"kid": "b"}).thumbprint == parse_jwk(DPOP).thumbprint
    assert parse_jwk(OKP | {"alg": "EdDSA"}).thumbprint == parse_jwk(OKP).thumbprint


@pytest.mark.parametrize("up", SMALL)
@pytest.mark.parametrize("sign", [0, 1])
def test_a_point_of_small_order_is_no_key(up: int, sign: int) -> None:
    assert not on_ed25519((up | sign << 255).to_bytes(32, "little"))


def test_a_point_has_one_encoding() -> None:
    good = int.from_bytes(parse_jwk(OKP).x, "little")
    assert on_ed25519(good.to_bytes(32, "little"))
    small = next(up for up in range(2, 19) if on_ed25519(up.to_bytes(32, "little")))
    assert not on_ed25519((small + P).to_bytes(32, "little"))


def test_a_point_of_p256_has_one_pair_of_coordinates() -> None:
    # The point whose `x` is 5, and the same number with the prime added, which also fits into 32 bytes.
    prime = 2**256 - 2**224 + 2**192 + 2**96 - 1
    b = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
    up = pow(5**3 - 15 + b, (prime + 1) // 4, prime)
    assert on_p256((5).to_bytes(32), up.to_bytes(32))
    assert not on_p256((5 + prime).to_bytes(32), up.to_bytes(32))


@given(st.integers(0, 255))
def test_every_key_that_the_library_makes_is_on_its_curve(seed: int) -> None:
    ec = es256(seed=seed + 1).jwk
    assert on_p256(ec.x, ec.y)
    assert on_ed25519(ed25519(seed=seed).jwk.x)


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_random_coordinates_are_no_point_of_p256(x: bytes, y: bytes) -> None:
    assert not on_p256(x, y)


# --- sets ---------------------------------------------------------------------------------------------------


def test_a_document_is_one_key_or_a_set() -> None:
    assert [one.algorithm for one in parse_jwks(json.dumps(EC).encode())] == [Algorithm.ES256]
    both = json.dumps({"keys": [EC, OKP]}).encode()
    assert [one.kid for one in parse_jwks(both)] == ["tickets-1", "tickets-2"]


@pytest.mark.parametrize(
    "document",
    [
        {"keys": []},
        {"keys": {}},
        {"keys": [EC, EC]},
        {"keys": [EC, OKP | {"kid": "tickets-1"}]},
        {"keys": [EC, "x"]},
        {"keys": [EC], "more": 1},
        {"keys": [EC | {"kid": f"k{n}"} for n in range(17)]},
    ],
)
def test_a_set_whose_keys_cant_be_told_apart_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(JwkSetError):
        parse_jwks(json.dumps(document).encode())


def test_one_bad_key_refuses_the_whole_set() -> None:
    with pytest.raises(MalformedError) as caught:
        parse_jwks(json.dumps({"keys": [EC, OKP | {"d": "AA"}]}).encode())
    assert caught.value.code == "jwk-private"


def test_a_member_that_stands_twice_in_a_key_is_refused() -> None:
    with pytest.raises(MalformedError) as caught:
        parse_jwks(json.dumps(EC).encode()[:-1] + b', "kid": "other"}')
    assert caught.value.code == "duplicate-key"

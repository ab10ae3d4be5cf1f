from __future__ import annotations

import json
from math import prod
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, SECP521R1, derive_private_key

from taskbound.core.errors import MalformedError
from taskbound.wire.jose import SIGNING, SPIFFE_JWT, Jwk, parse_foreign_jwks
from taskbound.wire.jose.key import ORDERS, is_rsa, on_curve
from tests.tokens import b64, ecdsa, ed25519, es256, rsa

EC, RSA, P384, P521 = (
    es256("a").members,
    rsa("b").members,
    ecdsa("c").members,
    ecdsa("d", alg="ES512").members,
)
MODULUS = rsa().jwk.modulus
NINE_OF_RSA = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]

# RFC 7638 §3.1.
RFC_7638 = {
    "kty": "RSA",
    "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc"
    "_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQ"
    "R0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bF"
    "TWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    "e": "AQAB",
    "alg": "RS256",
    "kid": "2011-04-29",
}


def keys(*members: Any, uses: frozenset[str] = SIGNING, **more: Any) -> tuple[Jwk, ...]:
    return parse_foreign_jwks(json.dumps({"keys": list(members), **more}).encode(), uses=uses)


def code_of(*members: Any, **more: Any) -> str:
    try:
        keys(*members, **more)
    except MalformedError as error:
        return error.code
    return "ok"


def without(members: dict[str, Any], *names: str, **more: Any) -> dict[str, Any]:
    return {name: value for name, value in {**members, **more}.items() if name not in names}


def test_the_thumbprint_of_an_rsa_key_is_that_of_rfc_7638() -> None:
    (key,) = keys(RFC_7638)
    assert key.thumbprint == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    assert key.members == {**RFC_7638, "use": "sig"}


def test_what_nobody_knows_is_passed_over_and_what_is_private_refuses_the_whole_set() -> None:
    more = {"x5c": ["MIIB"], "x5t": "x", "x5t#S256": "y", "key_ops": ["verify"], "x-of-ours": {"a": [1]}}
    assert keys({**RSA, **more}, {**EC, "ext": True}, spiffe_sequence=4) == keys(RSA, EC)
    for secret in ("d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"):
        assert code_of(EC, {**RSA, secret: "AA"}) == "jwk-private"
        assert code_of(EC, {**RSA, "use": "enc", secret: "AA"}) == "jwk-private"
    assert code_of(EC, {"kty": "oct", "kid": "h"}) == "jwk-private"


@pytest.mark.parametrize(
    "other",
    [
        without(RSA, use="enc"),
        without(RSA, use=["sig"]),
        without(RSA, alg="RSA-OAEP-256"),
        without(RSA, alg="ES256"),
        without(RSA, alg=["RS256"]),
        without(RSA, alg=""),
        without(RSA, key_ops=["encrypt"]),
        without(RSA, key_ops="verify"),
        without(EC, crv="secp256k1"),
        without(EC, crv="P-384", alg="ES256"),
        without(EC, kty="AKP"),
        without(EC, kty=["EC"]),
        without(ed25519("x").members, crv="X25519"),
        {},
    ],
)
def test_a_key_that_is_for_something_else_is_passed_over(other: dict[str, Any]) -> None:
    assert keys({**other, "kid": "other"}) == ()
    assert [one.kid for one in keys({**other, "kid": "other"}, P384)] == ["c"]


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (without(P384, x=b64(bytes(48))), "jwk-point"),
        (without(P384, x=P384["y"]), "jwk-point"),
        (without(P521, y=P521["x"]), "jwk-point"),
        (without(P384, x=b64(bytes(47))), "jwk-members"),
        (without(P521, x=b64(bytes(65))), "jwk-members"),
        (without(EC, "y"), "jwk-members"),
        (without(RSA, "n"), "jwk-members"),
        (without(RSA, n=b64(b"\0" + MODULUS)), "jwk-point"),
        (without(RSA, e=b64(b"\0\1\0\1")), "jwk-point"),
        (without(RSA, e=b64(b"\3")), "jwk-point"),
        (without(RSA, e=b64(b"\1\0\2")), "jwk-point"),
        (without(RSA, e=b64(b"\1\0\0\0\1")), "jwk-point"),
        (without(RSA, n=b64(MODULUS[:-1] + bytes([MODULUS[-1] ^ 1]))), "jwk-point"),
        (without(RSA, n=RSA["n"] + "="), "jwk-members"),
        (without(RSA, n=1), "jwk-members"),
        (rsa(bits=1_024).members, "jwk-point"),
        (without(RSA, n=b64(b"\x80" + bytes(1_023) + b"\1")), "jwk-point"),
        (without(EC, kid="two words"), "jwk-members"),
        (without(EC, kid='a"b'), "jwk-members"),
        (without(EC, kid=7), "jwk-members"),
        (without(EC, kid="k" * 257), "jwk-members"),
    ],
)
def test_a154_a_key_for_signing_that_is_no_good_refuses_the_set(bad: dict[str, Any], code: str) -> None:
    assert code_of(es256("z").members, bad) == code


def test_rsa_has_2048_to_8192_bits_and_an_odd_exponent_within_32_bits() -> None:
    for bits, good in ((2_047, False), (2_048, True), (8_192, True), (8_193, False)):
        modulus = ((1 << bits - 1) | 1).to_bytes((bits + 7) // 8)
        assert is_rsa(modulus, b"\1\0\1") is good, bits
    for exponent, good in (
        (65_535, False),
        (65_537, True),
        (2**32 - 1, True),
        (2**32 + 1, False),
        (65_538, False),
    ):
        raw = exponent.to_bytes((exponent.bit_length() + 7) // 8)
        assert is_rsa(MODULUS, raw) is good, exponent


@pytest.mark.parametrize("crv", list(ORDERS))
def test_every_key_that_the_library_makes_is_on_its_curve_and_its_neighbours_are_not(crv: str) -> None:
    for seed in (2, 3, 1_000_003):
        alg = {"P-384": "ES384", "P-521": "ES512"}.get(crv, "")
        key = (ecdsa(seed=seed, alg=alg) if alg else es256(seed=seed)).jwk
        assert on_curve(crv, key.x, key.y)
        assert not on_curve(crv, key.x, key.y[:-1] + bytes([key.y[-1] ^ 1]))
        assert not on_curve(crv, b"\xff" * len(key.x), key.y)


def test_each_order_is_that_of_its_curve() -> None:
    # One less than the order times the base point is the base point's mirror image: the same `x`.
    for curve in (SECP256R1(), SECP384R1(), SECP521R1()):
        order = ORDERS[f"P-{curve.key_size}"]
        first, last = (derive_private_key(one, curve).public_key().public_numbers() for one in (1, order - 1))
        assert first.x == last.x
        assert first.y != last.y


def test_a_key_that_doesnt_say_what_it_is_for_is_for_what_it_can_be() -> None:
    assert [one.algorithm.value for one in keys(without(RSA, "alg", "use"))] == NINE_OF_RSA
    assert [one.algorithm.value for one in keys(without(EC, "alg", "use"), without(P521, "alg"))] == [
        "ES256",
        "ES512",
    ]
    assert [one.algorithm.value for one in keys(without(ed25519().members, "alg"))] == ["Ed25519", "EdDSA"]


def test_a154_keys_can_be_told_apart() -> None:
    assert code_of(EC, {**P384, "kid": "a"}) == "jwk-set"
    assert code_of(EC, {**P384, "kid": "a", "use": "enc"}) == "ok"
    assert code_of(without(EC, "kid")) == "ok"
    assert code_of(without(EC, "kid"), P384) == "jwk-set"
    assert code_of(without(EC, "kid"), without(P384, "kid")) == "jwk-set"
    assert code_of(without(EC, "kid"), without(P384, "kid", use="enc")) == "ok"
    assert code_of(without(EC, "kid"), {**P384, "kid": ""}) == "jwk-set"


def test_a154_a_set_has_at_most_64_keys_and_ten_thousand_are_not_read() -> None:
    many = [{**EC, "kid": f"k{at}"} for at in range(65)]
    assert code_of(*many[:64]) == "ok"
    assert code_of(*many) == "jwk-set"
    assert code_of(*many[:1] * 10_000) in {"too-large", "too-many-parts"}
    for document in (b"{}", b'{"keys":{}}', b'{"keys":[1]}', b'{"keys":["x"]}', json.dumps(EC).encode()):
        with pytest.raises(MalformedError):
            parse_foreign_jwks(document)


def test_an_empty_bundle_trusts_nothing_and_only_keys_of_its_use_count() -> None:
    assert keys(uses=SPIFFE_JWT) == ()
    bundle = [
        {"kty": "EC", "crv": "P-256", "use": "x509-svid", "x5c": ["MIIB"]},
        without(EC, "alg", use="jwt-svid"),
        without(P384, "alg", "use"),
        without(P521, "alg", use="wit-svid"),
    ]
    found = keys(*bundle, uses=SPIFFE_JWT, spiffe_sequence=42, spiffe_refresh_hint=300)
    assert [(one.kid, one.algorithm.value) for one in found] == [("a", "ES256")]
    assert [one.kid for one in keys(*bundle)] == ["c"]


def test_a_modulus_like_those_of_roca_is_no_key_and_chance_makes_none() -> None:
    product = prod(one for one in range(3, 168) if all(one % by for by in range(2, one)))
    weak = pow(65_537, 12_345, product)
    weak += product * ((1 << 2_047) // product + 1)
    weak += product if weak % 2 == 0 else 0
    assert weak.bit_length() == 2_048
    assert not is_rsa(weak.to_bytes(256), b"\1\0\1")
    assert is_rsa((weak + 2).to_bytes(256), b"\1\0\1")
    assert all(is_rsa(rsa(bits=bits).jwk.modulus, b"\1\0\1") for bits in (2_048, 2_304, 3_072))

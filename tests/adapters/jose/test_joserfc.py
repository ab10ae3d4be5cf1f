from __future__ import annotations

from dataclasses import replace

import pytest

from taskbound.adapters.jose import JoserfcCheck
from taskbound.adapters.jose.joserfc import _One
from taskbound.wire.jose import Algorithm, TokenUnprovenError
from taskbound.wire.jose.compact import split_compact
from tests.tokens import Signer, ed25519, es256

SIGNERS = [es256(), ed25519(), ed25519(alg="EdDSA")]
signers = pytest.mark.parametrize("signer", SIGNERS, ids=[one.alg for one in SIGNERS])


@signers
def test_a_signature_of_the_key_is_right_and_nobody_is_warned(signer: Signer) -> None:
    JoserfcCheck().verify(
        split_compact(signer.token(), size=10_000), signer.jwk
    )  # a warning is an error here


@signers
def test_a_payload_that_only_the_gate_sees_proves_nothing(signer: Signer) -> None:
    compact = split_compact(signer.token(), size=10_000)
    for other in (replace(compact, payload=b"{}"), replace(compact, header=b"{}")):
        with pytest.raises(TokenUnprovenError):
            JoserfcCheck().verify(other, signer.jwk)


@pytest.mark.parametrize("alg", ["none", "HS256", "ES384", "RS256", "Ed448", "EdDSA", "Ed25519", "ES256"])
def test_the_key_says_the_algorithm_whatever_the_header_says(alg: str) -> None:
    for signer in SIGNERS:
        if signer.alg != alg:
            compact = split_compact(signer.token(header={"alg": alg}), size=10_000)
            with pytest.raises(TokenUnprovenError):
                JoserfcCheck().verify(compact, signer.jwk)


def test_a_key_that_is_none_proves_nothing() -> None:
    compact = split_compact(es256().token(), size=10_000)
    with pytest.raises(TokenUnprovenError):
        JoserfcCheck().verify(compact, replace(es256().jwk, y=bytes(32)))
    with pytest.raises(TokenUnprovenError):
        JoserfcCheck().verify(compact, replace(es256().jwk, algorithm=Algorithm.ED25519))


def test_a_header_as_long_as_the_gate_takes_is_not_too_long_for_the_library() -> None:
    signer = es256("k" * 128)
    text = signer.raw(b'{"alg":"ES256","kid":"' + b"k" * 128 + b'","typ":"' + b"t" * 300 + b'"}', b"{}")
    JoserfcCheck().verify(split_compact(text, size=10_000), signer.jwk)


@pytest.mark.parametrize("alg", ["none", "HS256", "ES384", "Ed25519", "unknown"])
def test_the_library_has_no_other_algorithm_to_offer(alg: str) -> None:
    assert _One(Algorithm.ES256).get_alg("ES256").name == "ES256"
    with pytest.raises(TokenUnprovenError):
        _One(Algorithm.ES256).get_alg(alg)

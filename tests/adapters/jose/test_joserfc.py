from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from taskbound.adapters.jose import JoserfcCheck
from taskbound.wire.jose import Algorithm, TokenUnprovenError
from taskbound.wire.jose.compact import split_compact
from taskbound.wire.jose.key import FORMS
from tests.tokens import Signer, ecdsa, ed25519, es256, rsa

SIGNERS = [
    es256(),
    ed25519(),
    ed25519(alg="EdDSA"),
    ecdsa(),
    ecdsa(alg="ES512"),
    *(rsa(alg=alg) for alg in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
]
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


@signers
def test_what_is_verified_is_what_was_read_and_not_only_the_text(signer: Signer) -> None:
    # The text is right in each; what the gate would have judged is another's.
    others: list[dict[str, Any]] = [{}, {"sub": "somebody-else"}]
    compact, other = (split_compact(signer.token(**claims), size=10_000) for claims in others)
    for part in (replace(compact, payload=other.payload), replace(compact, text=other.text)):
        with pytest.raises(TokenUnprovenError):
            JoserfcCheck().verify(part, signer.jwk)


@signers
def test_the_algorithm_is_the_keys_whatever_else_the_key_could_do(signer: Signer) -> None:
    compact = split_compact(signer.token(), size=10_000)
    for algorithm in Algorithm:
        same = FORMS[algorithm] == FORMS[signer.jwk.algorithm]
        ed25519 = {algorithm, signer.jwk.algorithm} <= {Algorithm.ED25519, Algorithm.EDDSA}
        if same and algorithm is not signer.jwk.algorithm and not ed25519:
            with pytest.raises(TokenUnprovenError):
                JoserfcCheck().verify(compact, replace(signer.jwk, algorithm=algorithm))


def test_a_key_that_is_none_proves_nothing() -> None:
    compact = split_compact(es256().token(), size=10_000)
    with pytest.raises(TokenUnprovenError):
        JoserfcCheck().verify(compact, replace(es256().jwk, y=bytes(32)))
    with pytest.raises(TokenUnprovenError):
        JoserfcCheck().verify(compact, replace(es256().jwk, algorithm=Algorithm.ED25519))

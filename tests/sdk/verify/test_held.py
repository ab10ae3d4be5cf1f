from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from taskbound.core.token.shared import Repeated
from taskbound.sdk.verify import Holders
from taskbound.wire.jose import token_hash
from tests.proofs import CLIENT, proof
from tests.sdk.verify.world import Places, answer
from tests.tokens import NOW, es256


def holders(**more: Any) -> Holders:
    key = f"jkt:{CLIENT.jwk.thumbprint}"
    own = ["spiffe://corp.example/coder", "x5t#S256:abc", key]
    plain: dict[str, Any] = {
        "shown_by": {"agent:coder": own, "agent:other": ["spiffe://corp.example/other"]},
        "carriers": ["spiffe://corp.example/front"],
        "origin": "https://pay.example",
    }
    return Holders(**(plain | more))


def test_a_token_is_held_by_its_own_workload_and_by_who_may_carry_it(tmp_path: Path, places: Places) -> None:
    place = places(tmp_path, holding=holders())
    nobody = (403, "holder-not-shown", "proof-of-holder")
    assert place.why(place.token()) == nobody
    for stranger in (
        "spiffe://corp.example/other",
        "spiffe://corp.example/code",
        "x5t#S256:abcd",
        "agent:coder",
    ):
        assert place.why(place.token(), shown=[stranger]) == nobody
    for number, own in enumerate(
        ("spiffe://corp.example/coder", "x5t#S256:abc", "spiffe://corp.example/front")
    ):
        assert place.accepted(place.token(txn=f"act_{number}"), shown=[own]).said.holder == "agent:coder"


def dpop(token: str, **claims: Any) -> str:
    plain: dict[str, Any] = {
        "htm": "POST",
        "htu": "https://pay.example/pay",
        "iat": NOW,
        "ath": token_hash(token),
        "jti": "one",
    }
    return proof(claims.pop("signer", CLIENT), **(plain | claims))


def test_a_proof_of_the_holders_key_serves_for_one_request(tmp_path: Path, places: Places) -> None:
    place = places(tmp_path, holding=holders())
    token = place.token()
    first = dpop(token)
    place.verifier.answer(place.accepted(token, proofs=[first]), answer())
    assert place.why(token, proofs=[first]) == (403, "replayed", "fresh-proof")
    assert isinstance(place.outcome(token, proofs=[dpop(token, jti="two")]), Repeated)


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"ath": ...}, "dpop-token"),
        ({"ath": "A" * 43}, "dpop-token"),
        ({"htm": "GET"}, "dpop-method"),
        ({"htu": "https://other.example/pay"}, "dpop-uri"),
        ({"htu": "https://pay.example/refund"}, "dpop-uri"),
        ({"iat": NOW - 61}, "dpop-window"),
        ({"iat": NOW + 31}, "dpop-window"),
        ({"signer": es256("stranger", seed=33)}, "holder-not-shown"),
    ],
    ids=["alone", "of another token", "method", "host", "path", "old", "early", "a stranger's"],
)
def test_a_proof_of_something_else_proves_no_holder(
    tmp_path: Path, places: Places, claims: dict[str, Any], code: str
) -> None:
    place = places(tmp_path, holding=holders())
    token = place.token()
    assert place.why(token, proofs=[dpop(token, **claims)])[:2] == (403, code)


def test_the_key_that_a_token_names_is_its_holders_and_no_other_tokens(
    tmp_path: Path, places: Places
) -> None:
    place = places(tmp_path, holding=Holders(origin="https://pay.example"))
    key = CLIENT.jwk.thumbprint
    assert place.why(place.token()) == (403, "holder-not-shown", "proof-of-holder")
    named = place.token(cnf={"jkt": key})
    assert place.why(named) == (403, "holder-not-shown", "proof-of-holder")
    assert place.accepted(named, proofs=[dpop(named)]).said.confirmed == f"jkt:{key}"
    for other in ({"jkt": "A" * 43}, {"x5t#S256": key}, ...):
        token = place.token(txn="act_2", cnf=other)
        assert place.why(token, proofs=[dpop(token, jti="other")])[1] == "holder-not-shown"
    pinned = places(tmp_path / "pinned", holding=holders())
    stolen = pinned.token(cnf={"x5t#S256": "B" * 43})
    assert pinned.why(stolen, shown=["x5t#S256:" + "B" * 43])[1] == "holder-not-shown"
    certified = place.token(txn="act_3", cnf={"x5t#S256": "B" * 43})
    assert place.why(certified, shown=["x5t#S256:" + "C" * 43])[1] == "holder-not-shown"
    assert place.accepted(certified, shown=["x5t#S256:" + "B" * 43]).said.txn == "act_3"


def test_two_proofs_prove_no_holder(tmp_path: Path, places: Places) -> None:
    place = places(tmp_path, holding=holders())
    token = place.token()
    assert place.why(token, proofs=[dpop(token), dpop(token, jti="b")])[1] == "dpop-count"


def test_a_proof_counts_for_nothing_where_the_service_has_no_origin(tmp_path: Path, places: Places) -> None:
    place = places(tmp_path, holding=holders(origin=""))
    token = place.token()
    assert place.why(token, proofs=[dpop(token)])[1] == "holder-not-shown"

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from taskbound.adapters.jose import JoserfcCheck
from taskbound.core.action import parse_object
from taskbound.core.errors import TaskboundError
from taskbound.wire.jose import JwkPointError, parse_foreign_jwks
from taskbound.wire.jose.compact import split_compact
from taskbound.wire.jose.gate import require_signature
from taskbound.wire.jose.key import parse_jwk
from tests.tokens import P256_N, b64

ROOT = Path(__file__).parents[3]
FOLDER = Path(os.environ.get("TASKBOUND_SHARED", ROOT.parent / "shared")) / "data" / "wycheproof"
FILES = ["json_web_signature_test.json", "json_web_key_test.json"]

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="the Wycheproof vectors are not beside this repository"
)

# What the suite calls valid and we refuse, by file and number.
STRICTER = {
    ("json_web_signature_test.json", 18): "token-signature",  # its `s` lies in the upper half: I-39
}


def vectors() -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    found = []
    for name in FILES if FOLDER.is_dir() else []:
        for group in json.loads((FOLDER / name).read_text(encoding="utf-8"))["testGroups"]:
            found += [(name, group, test) for test in group["tests"]]
    return found


VECTORS = vectors()


def key_of(group: dict[str, Any]) -> dict[str, Any]:
    key: dict[str, Any] = group.get("public", group["private"])
    first: dict[str, Any] = key["keys"][0] if "keys" in key else key
    return first


def answer(group: dict[str, Any], text: str) -> str:
    """What key reader, splitter and signature check say; the suite's headers have no `typ`."""
    try:
        key = parse_jwk(key_of(group))
        compact = split_compact(text, size=16_384)
        require_signature(compact, key=key, check=JoserfcCheck())
    except TaskboundError as error:
        return error.code
    return "ok"


def test_every_vector_is_answered_as_the_suite_says_and_every_other_algorithm_has_no_key_here() -> None:
    assert len(VECTORS) > 400
    for name, group, test in VECTORS:
        got = answer(group, test["jws"])
        where = f"{name} {test['tcId']} {test['comment']}: {got}"
        if (name, test["tcId"]) in STRICTER:
            assert got == STRICTER[name, test["tcId"]], where
        elif key_of(group).get("alg") != "ES256":
            assert got in {"jwk-members", "jwk-private"}, where
        elif test["result"] == "valid":
            assert got == "ok", where
        else:
            assert got != "ok", where


def test_the_vector_that_we_refuse_is_right_once_its_s_is_the_lower_one() -> None:
    _, group, test = next(one for one in VECTORS if (one[0], one[2]["tcId"]) in STRICTER)
    compact = split_compact(test["jws"], size=16_384)
    low = P256_N - int.from_bytes(compact.signature[32:])
    mended = f"{test['jws'].rpartition('.')[0]}.{b64(compact.signature[:32] + low.to_bytes(32))}"
    assert answer(group, mended) == "ok"


def test_a_vector_is_accepted_at_all() -> None:
    assert any(answer(group, test["jws"]) == "ok" for _, group, test in VECTORS)


# --- keys of issuers outside --------------------------------------------------------------------------------

# What the suite calls valid and we refuse, or answer otherwise, by number.
REFUSED = {
    259: "token-segments",  # nothing is signed: no token of ours or theirs says nothing
    264: "token-segments",
    268: "token-segments",
    272: "token-segments",
    320: "token-segments",
    325: "token-segments",
    346: "token-algorithm",  # the header says another algorithm than the key
    347: "token-algorithm",  # `ES521` is no algorithm
    350: "token-algorithm",
    351: "token-algorithm",
}


def foreign_answer(group: dict[str, Any], text: str) -> str:
    """What is said of the key as an issuer's own, and of the signature."""
    try:
        keys = parse_foreign_jwks(json.dumps({"keys": [key_of(group)]}).encode())
        compact = split_compact(text, size=16_384)
        said = parse_object(compact.header).get("alg")
        key = next((one for one in keys if one.algorithm.value == said), None)
        if key is None:
            return "token-algorithm"
        require_signature(compact, key=key, check=JoserfcCheck(), lower_s=False)
    except TaskboundError as error:
        return error.code
    return "ok"


def test_every_vector_of_every_algorithm_of_issuers_is_answered_as_the_suite_says() -> None:
    right: set[str] = set()
    for name, group, test in VECTORS:
        got = foreign_answer(group, test["jws"])
        where = f"{name} {test['tcId']} {test['comment']}: {got}"
        if key_of(group)["kty"] == "oct":
            assert got == "jwk-private", where
        elif name == FILES[0] and test["tcId"] in REFUSED:
            assert got == REFUSED[test["tcId"]], where
        else:
            assert (got == "ok") == (test["result"] == "valid"), where
        if got == "ok":
            right.add(str(key_of(group)["alg"]))
    assert right == {"ES256", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}


def test_a_key_that_can_be_computed_from_its_public_half_is_refused() -> None:
    (roca,) = (group for name, group, test in VECTORS if "Roca" in test["comment"])
    with pytest.raises(JwkPointError):
        parse_foreign_jwks(json.dumps({"keys": [key_of(roca)]}).encode())

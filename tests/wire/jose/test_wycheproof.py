from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from taskbound.adapters.jose import JoserfcCheck
from taskbound.core.errors import TaskboundError
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

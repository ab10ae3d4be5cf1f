"""The corpus G7 is sound, and every token of it gets the one answer that the corpus names."""

from __future__ import annotations

import pytest
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey

from taskbound.adapters.jose import JoserfcCheck
from taskbound.core.clock import Instant
from taskbound.core.errors import TaskboundError
from taskbound.wire.jose import Trust
from tests.corpus.g7 import KINDS, SIGNERS, Case, cases
from tests.tokens import AUDIENCE, ISSUER, NOW
from tests.wire.jose.kinds import read_jws

CASES = cases()
TRUST = {name: Trust(issuer=ISSUER, audience=AUDIENCE, keys=(one.jwk,)) for name, one in SIGNERS.items()}

# Numbers of the outline that no gate for a text can answer; `outline.jsonl` says where they are.
ELSEWHERE = {"A130", "A135", "A136", "A139", "A140", "A142"}


# What the library takes, told all that it can be told: why the gate stands in front of it.
TAKEN = {
    "byte-order-mark": ["A141.8"],
    "duplicate-key": ["A126.2", "A126.3", "A126.4", "A126.6", "A126.7", "A126.9", "A126.10"],
    "lone-surrogate": ["A141.10"],
    "not-utf8": ["A141.7"],
    "number-range": ["A131.12", "A141.12"],
    "token-claims": [
        "A131.4",
        "A131.5",
        "A131.6",
        "A131.16",
        "A131.23",
        "A131.25",
        "A131.28",
        "A131.30",
        "A132.3",
        "A132.4",
        "A132.5",
        "A133.25",
        "A141.13",
        "A141.14",
    ],
    "token-expired": ["A131.1", "A131.2"],
    "token-header": [
        "A124.1",
        "A124.4",
        "A124.5",
        "A124.8",
        "A124.13",
        "A124.14",
        "A124.15",
        "A124.16",
        "A124.17",
        "A124.18",
        "A124.19",
        "A124.20",
        "A124.21",
        "A124.22",
        "A124.23",
        "A124.29",
        "A124.30",
        "A125.8",
        "A134.15",
    ],
    "token-key": ["A124.24", "A124.25", "A124.26", "A124.27", "A124.28"],
    "token-kind": [
        "A134.1",
        "A134.2",
        "A134.3",
        "A134.4",
        "A134.5",
        "A134.6",
        "A134.7",
        "A134.8",
        "A134.9",
        "A134.10",
        "A134.11",
        "A134.12",
        "A134.13",
        "A134.14",
    ],
    "token-lifetime": ["A131.32", "A131.33", "A131.35", "A131.34"],
    "token-signature": ["A128.1"],
    "too-deep": ["A124.11", "A124.12", "A125.3", "A125.5", "A141.3"],
    "too-many-parts": ["A141.4"],
}


def answer(case: Case) -> str:
    try:
        read_jws(
            case.text,
            kind=KINDS[case.kind],
            trust=TRUST[case.key],
            check=JoserfcCheck(),
            now=Instant(NOW * 1_000_000),
        )
    except TaskboundError as error:
        return error.code
    return "ok"


def test_each_id_stands_once_and_each_number_of_the_outline_has_cases() -> None:
    assert len({case.id for case in CASES}) == len(CASES)
    outline = {f"A{number}" for number in range(122, 143)} - ELSEWHERE
    assert {case.id.partition(".")[0] for case in CASES} == outline


def test_each_refused_case_has_one_twin_that_is_ok_and_is_another_token() -> None:
    by_id = {case.id: case for case in CASES}
    twins = [case for case in CASES if case.twin_of]
    assert sorted(one.twin_of for one in twins) == sorted(one.id for one in CASES if one.expect != "ok")
    for twin in twins:
        case = by_id[twin.twin_of]
        assert twin.expect == "ok", twin.id
        assert (twin.key, twin.kind) == (case.key, case.kind), twin.id
        assert (twin.header, twin.payload, twin.payload_hex, twin.signer, twin.form) != (
            case.header,
            case.payload,
            case.payload_hex,
            case.signer,
            case.form,
        ), twin.id


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_a_token_gets_the_one_answer_that_the_corpus_names(case: Case) -> None:
    assert answer(case) == case.expect, case.why


# --- the library alone --------------------------------------------------------------------------------------


def library_takes(case: Case) -> bool:
    """What `joserfc` says, given the key, its algorithm, and every claim that it can be told to want."""
    members = {name: str(value) for name, value in case.signing.members.items()}
    key = ECKey.import_key({**members}) if case.key == "es256" else OKPKey.import_key({**members})
    wanted = jwt.JWTClaimsRegistry(
        now=NOW,
        leeway=30,
        iss={"essential": True, "value": ISSUER},
        aud={"essential": True, "value": AUDIENCE},
        exp={"essential": True},
        iat={"essential": True},
        sub={"essential": True},
        jti={"essential": True},
    )
    try:
        wanted.validate(jwt.decode(case.text, key, algorithms=[case.signing.alg]).claims)
    except (JoseError, ValueError, TypeError, RecursionError):
        return False
    return True


def test_what_the_library_alone_takes_and_the_gate_refuses_is_what_is_written_here() -> None:
    refused = [
        case for case in CASES if case.expect != "ok" and case.key != "eddsa" and "big" not in case.form
    ]
    taken: dict[str, list[str]] = {}
    for case in refused:
        if library_takes(case):
            taken.setdefault(case.expect, []).append(case.id)
    assert taken == TAKEN

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.adapters.jose import JoserfcCheck
from taskbound.core.action import canonical
from taskbound.core.clock import Instant, seconds
from taskbound.core.errors import TaskboundError
from taskbound.wire.jose import CLIENT_ASSERTION, TASK_TOKEN, write_jws
from taskbound.wire.jose.claims import parse_claims
from tests.tokens import NOW, ed25519, es256
from tests.wire.jose.kinds import SAMPLES, read_jws

KEY = es256("k1")
TASK = SAMPLES[1]
CLAIMS: dict[str, Any] = {**TASK.claims, "jti": "tok_1"}


def written(**claims: Any) -> str:
    said = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not ...}
    return write_jws(said, kind=TASK_TOKEN, key=KEY.jwk, sign=KEY.sign)


def code_of(**claims: Any) -> str:
    try:
        written(**claims)
    except TaskboundError as error:
        return error.code
    return "ok"


def test_what_is_written_is_read_and_equal_claims_are_equal_bytes() -> None:
    now = Instant(seconds(NOW))
    got = read_jws(written(), kind=TASK_TOKEN, trust=TASK.trust(KEY), check=JoserfcCheck(), now=now)
    again = written(**dict(reversed(CLAIMS.items())))
    assert (got.claims.id, got.claims.rest["task"]) == ("tok_1", "tsk_1")
    assert again.rpartition(".")[0] == got.compact.text.rpartition(".")[0]
    assert got.compact.header == b'{"alg":"ES256","kid":"k1","typ":"at+jwt"}'


@pytest.mark.parametrize(
    "exp",
    [float("nan"), float("inf"), 1.5, -1, 10**18, "5m", True, None, [], NOW - 60, ...],
)
def test_a142_no_token_is_written_whose_end_is_none(exp: Any) -> None:
    assert code_of(exp=exp) != "ok"


def test_i44_no_token_is_written_that_would_live_too_long() -> None:
    assert code_of(iat=NOW, exp=NOW + 300) == "ok"
    assert code_of(iat=NOW, exp=NOW + 301) == "token-lifetime"


def test_nothing_is_signed_that_the_gate_refuses() -> None:
    asked: list[bytes] = []

    def sign(message: bytes) -> bytes:
        asked.append(message)
        return KEY.sign(message)

    for claims in ({**CLAIMS, "epoch": 1}, {**CLAIMS, "aud": ["a", "b"]}, {**CLAIMS, "act": "agent:planner"}):
        with pytest.raises(TaskboundError):
            write_jws(claims, kind=TASK_TOKEN, key=KEY.jwk, sign=sign)
    with pytest.raises(TaskboundError):
        write_jws(CLAIMS, kind=TASK_TOKEN, key=ed25519().jwk, sign=sign)
    assert not asked


def taken(claims: dict[str, Any]) -> str:
    """What the gate says to these claims."""
    try:
        parse_claims(canonical(claims), kind=TASK_TOKEN)
    except TaskboundError as error:
        return error.code
    return "ok"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from([*CLAIMS, "nbf", "epoch", "sub_id", "txn"])


@given(st.dictionaries(NAMES, VALUES | st.sampled_from([NOW, NOW + 300, 0, "x", [], {}]), max_size=3))
def test_the_writer_signs_what_the_gate_takes_and_nothing_else(changes: dict[str, Any]) -> None:
    claims = {**CLAIMS, **changes}
    told, wanted = code_of(**changes), taken(claims)
    whole = any(isinstance(one, float) for one in claims.values())
    assert told == wanted or (whole and wanted == "ok"), "a whole number is asked for as one"


def test_who_proves_itself_is_its_own_issuer_and_nobody_elses_assertion_is_signed() -> None:
    said: dict[str, Any] = {"aud": "https://as.example", "iat": NOW, "exp": NOW + 60, "jti": "j"}
    own = {**said, "iss": "agent:coder", "sub": "agent:coder"}
    assert write_jws(own, kind=CLIENT_ASSERTION, key=KEY.jwk, sign=KEY.sign)
    with pytest.raises(TaskboundError) as caught:
        write_jws({**own, "iss": "agent:helper"}, kind=CLIENT_ASSERTION, key=KEY.jwk, sign=KEY.sign)
    assert caught.value.code == "token-kind"


def test_nothing_is_signed_that_is_deeper_or_of_more_parts_than_the_gate_reads() -> None:
    deep: Any = {"sub": "x"}
    for _ in range(TASK_TOKEN.limits.depth):
        deep = {"act": deep}
    assert code_of(act=deep) == "too-deep"
    many: Any = [[] for _ in range(TASK_TOKEN.limits.parts)]
    assert code_of(act={"sub": many}) == "too-many-parts"


def test_no_token_is_written_that_the_gate_would_not_begin_to_read() -> None:
    room = TASK_TOKEN.limits.size - len(canonical({**CLAIMS, "act": {"sub": ""}}))
    assert code_of(act={"sub": "x" * (room - 120)}) == "ok"
    assert code_of(act={"sub": "x" * room}) == "token-size"
    assert code_of(act={"sub": "x" * (room + 1)}) == "too-large"


def test_a128_a_signature_that_is_none_of_the_key_leaves_no_token() -> None:
    def high(message: bytes) -> bytes:
        return KEY.sign(message, high=True)

    for sign in (high, lambda _: b"", lambda _: bytes(64), lambda message: KEY.sign(message) + b"\0"):
        with pytest.raises(TaskboundError) as caught:
            write_jws(CLAIMS, kind=TASK_TOKEN, key=KEY.jwk, sign=sign)
        assert caught.value.code == "token-signature"

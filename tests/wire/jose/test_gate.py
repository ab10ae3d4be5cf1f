from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from taskbound.adapters.jose import JoserfcCheck
from taskbound.core.clock import Instant, hours, seconds
from taskbound.core.errors import MalformedError, TaskboundError
from taskbound.wire.jose import (
    EVIDENCE,
    SKEW,
    ClaimForm,
    Compact,
    Jwk,
    Jws,
    TokenExpiredError,
    TokenKind,
    TokenUnprovenError,
    Trust,
    encode_base64url,
    parse_jws,
    verify_jws,
)
from taskbound.wire.jose.compact import decode_base64url, split_compact
from tests.tokens import AUDIENCE, CLAIMS, ISSUER, NOW, Signer, b64, ed25519, es256, joined
from tests.wire.jose.kinds import read_jws

SIGNERS = [es256(), ed25519(), ed25519("tickets-3", alg="EdDSA")]
signers = pytest.mark.parametrize("signer", SIGNERS, ids=[one.alg for one in SIGNERS])


def trust(*who: Signer, issuer: str = ISSUER, audience: str = AUDIENCE) -> Trust:
    return Trust(issuer=issuer, audience=audience, keys=tuple(one.jwk for one in who))


def read(
    text: str, *who: Signer, kind: TokenKind = EVIDENCE, now: int = NOW, microsecond: int = 0, **whom: str
) -> Jws:
    moment = Instant(seconds(now) + microsecond)
    return read_jws(text, kind=kind, trust=trust(*(who or SIGNERS), **whom), check=JoserfcCheck(), now=moment)


def code_of(text: str, *who: Signer, **rest: Any) -> str:
    try:
        read(text, *who, **rest)
    except TaskboundError as error:
        return error.code
    return "ok"


# --- one token, one text (I-39) -----------------------------------------------------------------------------


@signers
def test_no_bit_of_a_token_can_be_flipped(signer: Signer) -> None:
    text = signer.token()
    assert code_of(text) == "ok"
    for at in range(len(text)):
        for bit in range(8):
            flipped = text[:at] + chr(ord(text[at]) ^ 1 << bit) + text[at + 1 :]
            assert code_of(flipped) != "ok", (at, bit)


@signers
def test_no_character_of_a_token_can_be_left_out_doubled_or_put_elsewhere(signer: Signer) -> None:
    text = signer.token()
    for at in range(len(text)):
        assert code_of(text[:at] + text[at + 1 :]) != "ok", at
        assert code_of(text[:at] + text[at] + text[at:]) != "ok", at
        assert code_of(text[:at]) != "ok", at


@given(st.binary(max_size=40))
def test_base64url_has_one_text_for_its_bytes(raw: bytes) -> None:
    text = encode_base64url(raw)
    assert decode_base64url(text) == (raw or None)


@given(st.text(alphabet="AQgwBf_-=+/ .\n", min_size=1, max_size=9))
def test_what_decodes_encodes_to_itself(text: str) -> None:
    raw = decode_base64url(text)
    assert raw is None or encode_base64url(raw) == text


texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)
members = st.dictionaries(texts, st.none() | st.booleans() | st.integers(-99, 99) | texts, max_size=4)


@settings(max_examples=60)
@given(signer=st.sampled_from(SIGNERS), subject=texts, rest=members)
@example(signer=SIGNERS[0], subject="\u202e", rest={})
def test_what_is_accepted_is_written_again_as_the_same_text(
    signer: Signer, subject: str, rest: dict[str, Any]
) -> None:
    more = {
        name: value for name, value in rest.items() if name not in {*CLAIMS, "nbf", "sub", "header", "typ"}
    }
    text = signer.token(sub=subject, **{k: v for k, v in more.items() if k != "self"})
    got = read(text)
    compact = got.compact
    assert joined(compact.header, compact.payload, compact.signature) == text
    assert got.claims.subject == subject
    assert compact.signed + b"." + b64(compact.signature).encode() == text.encode()


@settings(max_examples=200)
@given(st.text(max_size=300) | st.text(alphabet="eyJhbGci.0_-", max_size=300))
def test_any_text_is_a_token_or_one_error(text: str) -> None:
    assert code_of(text) != "ok"


@settings(max_examples=100)
@given(header=st.binary(min_size=1, max_size=80), payload=st.binary(min_size=1, max_size=80))
def test_any_bytes_that_are_signed_are_a_token_or_one_error(header: bytes, payload: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_jws(SIGNERS[0].raw(header, payload), kind=EVIDENCE)


# --- keys ---------------------------------------------------------------------------------------------------


@signers
def test_a_token_is_believed_by_its_own_key_only(signer: Signer) -> None:
    got = read(signer.token())
    assert (got.key, got.claims.issuer, got.claims.id) == (signer.jwk, ISSUER, "b3f1")
    same_name = es256(signer.kid, seed=50) if signer.alg == "ES256" else ed25519(signer.kid, 50, signer.alg)
    assert code_of(signer.token(), same_name) == "token-unproven"
    assert code_of(signer.token(), es256("elsewhere")) == "token-key"
    with pytest.raises(TaskboundError):
        read_jws(
            signer.token(),
            kind=EVIDENCE,
            trust=Trust(issuer=ISSUER, audience=AUDIENCE, keys=()),
            check=JoserfcCheck(),
            now=Instant(seconds(NOW)),
        )


def test_a_name_is_only_compared_and_never_tried_on_other_keys() -> None:
    first, second = es256("a", seed=3), es256("b", seed=4)
    assert code_of(first.token(header={"kid": "b"}), first, second) == "token-unproven"
    assert code_of(first.token(), first, second) == "ok"


def test_the_library_is_asked_nothing_before_the_form_holds() -> None:
    asked: list[Compact] = []

    class Curious:
        def verify(self, compact: Compact, key: Jwk) -> None:
            asked.append(compact)
            raise TokenUnprovenError(key.kid)

    good, now = SIGNERS[0], Instant(seconds(NOW))
    head, payload, _ = good.token().split(".")
    bad = [
        good.token(header={"alg": "none"}),
        good.token(header={"alg": "HS256"}),
        good.token(header={"kid": "nobody"}),
        good.token(iss="https://example.com/other"),
        f"{head}.{payload}.{b64(bytes(64))}",
        f"{head}.{payload}.{b64(b'x')}",
    ]
    for text in bad:
        with pytest.raises(TaskboundError):
            read_jws(text, kind=EVIDENCE, trust=trust(good), check=Curious(), now=now)
    assert not asked
    with pytest.raises(TokenUnprovenError):
        read_jws(good.token(), kind=EVIDENCE, trust=trust(good), check=Curious(), now=now)
    assert len(asked) == 1


# --- kinds, issuers, audiences ------------------------------------------------------------------------------

CONFUSED = [
    EVIDENCE,
    TokenKind(typ="at+jwt", lifetime=hours(2), open=True),
    TokenKind(typ="dpop+jwt", lifetime=hours(2), open=True),
    TokenKind(typ="taskbound-approval+jwt", lifetime=hours(2), open=True),
    TokenKind(typ="txntoken+jwt", lifetime=hours(2), open=True),
    TokenKind(typ="JWT", lifetime=hours(2), open=True),
]


@pytest.mark.parametrize("wanted", CONFUSED, ids=lambda kind: kind.typ)
@pytest.mark.parametrize("sent", CONFUSED, ids=lambda kind: kind.typ)
def test_a_token_of_one_kind_is_none_of_another(wanted: TokenKind, sent: TokenKind) -> None:
    assert code_of(SIGNERS[0].token(sent.typ), kind=wanted) == ("ok" if wanted is sent else "token-kind")


def test_issuer_and_audience_are_compared_whole() -> None:
    text = SIGNERS[0].token()
    for part in (ISSUER[:-1], ISSUER + "/", ISSUER.upper(), "", "https://"):
        assert code_of(text, issuer=part) == "token-issuer"
    for part in (AUDIENCE[:-1], AUDIENCE + "x", AUDIENCE.upper(), ""):
        assert code_of(text, audience=part) == "token-audience"


def test_the_form_of_a_declared_claim_is_kept_in_a_kind_that_is_open() -> None:
    forms = {"t": ClaimForm.TEXT, "n": ClaimForm.TIME, "o": ClaimForm.OBJECT, "l": ClaimForm.TEXTS}
    kind = TokenKind(typ="k+jwt", lifetime=hours(2), optional=forms, open=True)
    fits: dict[str, Any] = {"t": "x", "n": 5, "o": {}, "l": ["a"]}
    assert code_of(SIGNERS[0].token("k+jwt", **fits, anything=1.5), kind=kind) == "ok"
    for name in fits:
        for value in [one for other, one in fits.items() if other != name] + [None, True, 1.5, "", [1], -1]:
            assert code_of(SIGNERS[0].token("k+jwt", **{name: value}), kind=kind) == "token-claims", (
                name,
                value,
            )
    for count, code in ((64, "ok"), (65, "token-claims")):
        assert code_of(SIGNERS[0].token("k+jwt", l=["a"] * count), kind=kind) == code


# --- time ---------------------------------------------------------------------------------------------------


def test_a_token_ends_at_its_expiry_to_the_microsecond_and_no_skew_lengthens_it() -> None:
    text = SIGNERS[0].token(exp=NOW + 10)
    assert code_of(text, now=NOW + 9, microsecond=999_999) == "ok"
    assert code_of(text, now=NOW + 10) == "token-expired"


@pytest.mark.parametrize("claim", ["iat", "nbf"])
def test_a_token_begins_at_most_the_skew_ahead(claim: str) -> None:
    begins: dict[str, Any] = {"iat": NOW - 50, "nbf": NOW - 50, claim: NOW}
    text = SIGNERS[0].token(**begins)
    skew = SKEW // 1_000_000
    assert code_of(text, now=NOW - skew) == "ok"
    assert code_of(text, now=NOW - skew - 1, microsecond=999_999) == "token-not-yet"


def test_a_token_that_was_believed_is_believed_no_longer_than_it_says() -> None:
    unverified = parse_jws(SIGNERS[0].token(), kind=EVIDENCE)
    whom, check = trust(SIGNERS[0]), JoserfcCheck()
    verify_jws(unverified, trust=whom, check=check, now=Instant(seconds(NOW + 3_599)))
    with pytest.raises(TokenExpiredError):
        verify_jws(unverified, trust=whom, check=check, now=Instant(seconds(NOW + 3_600)))


# --- limits -------------------------------------------------------------------------------------------------


def test_the_size_is_seen_before_anything_is_decoded() -> None:
    assert code_of(SIGNERS[0].token(note=["x" * 10_000])) == "ok"
    assert code_of(SIGNERS[0].token(note=["x" * 12_200])) == "token-size"
    for text in ("." * 10_000_000, "A" * 10_000_000, "\U0001f600" * (EVIDENCE.size + 1)):
        assert code_of(text) == "token-size"
    edge = "A" * (EVIDENCE.size - 4)
    assert code_of(f"{edge}.A.A") != "token-size"
    assert code_of(f"{edge}A.A.A") == "token-size"


def test_neither_a_token_nor_its_parts_show_in_a_repr() -> None:
    text = SIGNERS[0].token(note="a-secret-of-the-issuer")
    compact = split_compact(text, size=EVIDENCE.size)
    for segment in (text, *text.split(".")[1:], "a-secret-of-the-issuer"):
        assert segment not in repr(compact)


def test_the_digest_is_that_of_the_one_text() -> None:
    first, second = read(SIGNERS[1].token()), read(SIGNERS[1].token(jti="other"))
    assert first.digest != second.digest
    assert first.digest == read(SIGNERS[1].token()).digest
    assert json.loads(first.compact.payload)["jti"] == "b3f1"

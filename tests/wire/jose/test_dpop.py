from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.adapters.jose import JoserfcCheck
from taskbound.core.clock import Instant, seconds
from taskbound.core.errors import TaskboundError
from taskbound.wire.jose import (
    BadUriError,
    DpopProof,
    DpopRequest,
    TokenUnprovenError,
    normalize_uri,
    parse_jwk,
    read_dpop,
    token_hash,
)
from tests.proofs import ADDRESS, CLIENT, TOKEN, bound, proof, request
from tests.tokens import NOW, b64, es256
from tests.wire.jose.kinds import SAMPLES

# RFC 9449 §4.1 and §4.2, §7.1: the key and the token of its examples.
RFC_KEY = {
    "kty": "EC",
    "crv": "P-256",
    "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
    "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
}


def read(
    *texts: str, of: DpopRequest | None = None, now: int = NOW, microsecond: int = 0, check: Any = None
) -> DpopProof:
    moment = Instant(seconds(now) + microsecond)
    return read_dpop(texts, request=of or request(), check=check or JoserfcCheck(), now=moment)


def code_of(*texts: str, **rest: Any) -> str:
    try:
        read(*texts, **rest)
    except TaskboundError as error:
        return error.code
    return "ok"


def test_a_proof_says_which_key_sent_which_request() -> None:
    got = read(proof(htu=f"{ADDRESS}?a=1#b"))
    assert (got.jkt, got.id, got.method, got.uri) == (CLIENT.jwk.thumbprint, "4b1f", "POST", ADDRESS)
    assert got.issued == Instant(seconds(NOW))


def test_the_digest_of_a_token_and_the_name_of_a_key_are_those_of_the_rfc() -> None:
    assert token_hash(TOKEN) == "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"
    jwk = parse_jwk({**RFC_KEY, "kid": "a", "alg": "ES256", "use": "sig"})
    assert jwk.thumbprint == "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"


def test_a130_no_bit_of_a_proof_can_be_flipped() -> None:
    text = proof()
    assert code_of(text) == "ok"
    for at in range(len(text)):
        for bit in range(8):
            flipped = text[:at] + chr(ord(text[at]) ^ 1 << bit) + text[at + 1 :]
            assert code_of(flipped) != "ok", (at, bit)


def test_a134_a_proof_is_no_token_and_no_token_is_a_proof() -> None:
    for sample in SAMPLES:
        assert code_of(sample.text(CLIENT)) in {"token-header", "token-kind"}, sample.name
        with pytest.raises(TaskboundError) as caught:
            sample.read(proof(), CLIENT, now=NOW)
        assert caught.value.code in {"too-deep", "token-header"}


def test_a150_a_proof_holds_60_seconds_behind_and_30_ahead_to_the_microsecond() -> None:
    text = proof()
    for now, microsecond, code in (
        (NOW + 60, 0, "ok"),
        (NOW + 60, 1, "dpop-window"),
        (NOW - 30, 0, "ok"),
        (NOW - 31, 999_999, "dpop-window"),
    ):
        assert code_of(text, now=now, microsecond=microsecond) == code


def test_i41_its_use_is_remembered_longer_than_any_daemon_takes_it() -> None:
    got = read(proof())
    behind = 30  # how far the clock of another daemon may be behind ours
    last = NOW + 60
    assert code_of(proof(), now=last) == "ok"
    assert got.until >= Instant(seconds(last + behind))


def test_a150_of_two_signatures_either_is_taken_and_the_proof_is_known_as_the_same() -> None:
    low, high = read(proof()), read(proof(high=True))
    assert low == high


def test_the_library_is_asked_nothing_before_the_form_holds() -> None:
    class Curious:
        def verify(self, *_: object) -> None:
            raise AssertionError("it was asked")

    for text in (
        proof(jti=...),
        proof(header={"alg": "HS256"}),
        proof(header={"typ": "JWT"}),
        proof(jwk={"d": "AA"}),
        proof().rpartition(".")[0] + "." + b64(bytes(64)),
        "A" * 10_000_000,
    ):
        with pytest.raises(TaskboundError):
            read(text, check=Curious())


def test_the_key_in_a_proof_proves_only_itself() -> None:
    other = es256(seed=22)
    with pytest.raises(TokenUnprovenError):
        read(proof(header={"jwk": other.numbers}))
    assert code_of(proof(ath=token_hash(TOKEN)), of=request(token=bound(other))) == "dpop-key"
    assert code_of(proof(ath=token_hash(TOKEN)), of=request(token=bound())) == "ok"


def test_a141_a_proof_of_ten_million_characters_is_refused_before_anything_is_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def decoded(_text: str) -> bytes:
        raise AssertionError("it was decoded")

    monkeypatch.setattr("taskbound.wire.jose.compact.decode_base64url", decoded)
    assert code_of("A" * 10_000_000) == code_of("." * 10_000_000) == "token-size"


# --- addresses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("HTTPS://API.Example.com/a", "https://api.example.com/a"),
        ("https://api.example.com", "https://api.example.com/"),
        ("https://api.example.com?x", "https://api.example.com/"),
        ("https://api.example.com#x", "https://api.example.com/"),
        ("https://api.example.com:443/a", "https://api.example.com/a"),
        ("https://api.example.com:/a", "https://api.example.com/a"),
        ("http://api.example.com:80/a", "http://api.example.com/a"),
        ("http://api.example.com:443/a", "http://api.example.com:443/a"),
        ("https://api.example.com:8443/a", "https://api.example.com:8443/a"),
        ("https://api.example.com/%7euser/%2f%2F", "https://api.example.com/~user/%2F%2F"),
        ("https://api.example.com/a/./b/../c", "https://api.example.com/a/c"),
        ("https://api.example.com/a/%2e%2E/c", "https://api.example.com/c"),
        ("https://api.example.com/../../c", "https://api.example.com/c"),
        ("https://api.example.com/a/..", "https://api.example.com/"),
        ("https://api.example.com/a/b/..", "https://api.example.com/a/"),
        ("https://api.example.com/a/.", "https://api.example.com/a/"),
        ("https://api.example.com//a//", "https://api.example.com//a//"),
        ("https://api.example.com/A", "https://api.example.com/A"),
        ("https://[::1]:8443/A", "https://[::1]:8443/A"),
        ("https://[2001:DB8::1]/", "https://[2001:db8::1]/"),
        ("http://127.0.0.1:8080/x;y=1,2", "http://127.0.0.1:8080/x;y=1,2"),
    ],
)
def test_an_address_has_one_spelling(text: str, normal: str) -> None:
    assert normalize_uri(text) == normal
    assert normalize_uri(normal) == normal


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/a",
        "//api.example.com/a",
        "api.example.com/a",
        "ftp://api.example.com/a",
        "https:api.example.com/a",
        "https:///a",
        "https://ann@api.example.com/a",
        "https://ann:x@api.example.com/a",
        "https://api.example.com:0/",
        "https://api.example.com:0443/",
        "https://api.example.com:65536/",
        "https://api.example.com:x/",
        "https://api.example.com\\@evil.example.com/",
        "https://\u0430pi.example.com/",
        "https://api%2eapi.example.com/",
        "https://api.example.com/%",
        "https://api.example.com/%zz",
        "https://api.example.com/a b",
        "https://api.example.com/a\n",
        "https://api.example.com/a\t",
        "https://api.example.com/\u00e9",
        "https://api.example.com/[",
        "https://[::1/",
        "https://api.example.com/" + "a" * 2_048,
    ],
)
def test_what_is_no_address_is_refused_and_not_mended(text: str) -> None:
    with pytest.raises(BadUriError):
        normalize_uri(text)
    if text and len(text) < 2_000:
        assert code_of(proof(htu=text)) == "bad-uri"


segments = st.lists(
    st.sampled_from(["a", "B", ".", "..", "", "%41", "%2f", "%2e", "~", "%7E", "c;d", "%C3%A9"]), max_size=7
)


@given(segments)
def test_an_address_normalized_again_is_the_same_and_leads_nowhere_above(parts: list[str]) -> None:
    got = normalize_uri("https://api.example.com/" + "/".join(parts))
    assert normalize_uri(got) == got
    assert not {".", ".."} & set(got.split("/"))

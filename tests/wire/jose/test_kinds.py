from __future__ import annotations

import hmac
import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from taskbound.adapters.jose import JoserfcCheck
from taskbound.core.clock import Instant, seconds
from taskbound.core.errors import TaskboundError
from taskbound.wire.jose import (
    CLIENT_ASSERTION,
    ID_TOKEN,
    JWT_SVID,
    KINDS,
    UNTYPED_ASSERTION,
    WORKLOAD_TOKEN,
    Trust,
    parse_jws,
    verify_jws,
)
from taskbound.wire.jose.compact import decode_base64url, split_compact
from taskbound.wire.jose.key import ORDERS
from tests.tokens import NOW, Signer, b64, ecdsa, ed25519, es256, rsa
from tests.wire.jose.kinds import SAMPLES, Sample, read_jws

KEY = es256()
PEM, SUBJECT = Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
BY_KIND = {id(sample.kind): sample for sample in SAMPLES}
OURS = SAMPLES[1:6]
OTHERS = [one for one in SAMPLES if one not in OURS]
EXTERNAL = [one for one in SAMPLES if one.kind in (JWT_SVID, WORKLOAD_TOKEN, ID_TOKEN)]
ALGORITHMS = [
    es256(),
    ecdsa(),
    ecdsa(alg="ES512"),
    *(rsa(alg=alg) for alg in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
]
samples = pytest.mark.parametrize("sample", SAMPLES, ids=lambda one: one.name)


def code_of(text: str, sample: Sample, *keys: Signer, now: int = NOW, trust: Trust | None = None) -> str:
    try:
        sample.read(text, *(keys or (KEY,)), now=now, trust=trust)
    except TaskboundError as error:
        return error.code
    return "ok"


def sample_of(kind: object) -> Sample:
    return BY_KIND[id(kind)]


# --- A134: one kind where another is expected ---------------------------------------------------------------


def test_every_kind_has_its_sample() -> None:
    assert [sample.kind for sample in SAMPLES] == list(KINDS)


@pytest.mark.parametrize("wanted", SAMPLES, ids=lambda one: f"wanted {one.name}")
@pytest.mark.parametrize("sent", SAMPLES, ids=lambda one: f"sent {one.name}")
def test_a134_a_token_of_one_kind_is_never_one_of_another(sent: Sample, wanted: Sample) -> None:
    # Everything else is made as bad as it can be: one key for all, and whoever it says is who is believed.
    text = sent.text(KEY)
    trust = Trust(issuer=sent.issuer, audience=sent.audience, keys=(KEY.jwk,))
    if sent is wanted:
        assert code_of(text, wanted, trust=trust) == "ok"
        return
    with pytest.raises(TaskboundError) as caught:
        verify_jws(
            parse_jws(text, kind=wanted.kind), trust=trust, check=JoserfcCheck(), now=Instant(seconds(NOW))
        )
    assert caught.value.code in {"token-kind", "token-claims", "token-header"}


def test_a134_a_logout_token_is_no_id_token_and_no_workload_token() -> None:
    # OpenID Connect Back-Channel Logout §2.4: `events`, and never a `nonce`.
    events: dict[str, Any] = {"http://schemas.openid.net/event/backchannel-logout": {}}
    for kind in (ID_TOKEN, WORKLOAD_TOKEN, UNTYPED_ASSERTION):
        sample = sample_of(kind)
        assert code_of(sample.text(KEY, events=events), sample) == "token-kind"
    assert code_of(sample_of(ID_TOKEN).text(KEY, nonce=...), sample_of(ID_TOKEN)) == "token-claims"


def test_a134_an_id_token_is_no_workload_token_of_the_same_issuer() -> None:
    workload = sample_of(WORKLOAD_TOKEN)
    assert code_of(workload.text(KEY, nonce="n-0S6"), workload) == "token-kind"


def test_a134_a_spiffe_id_is_believed_of_a_trust_domain_and_of_no_other_issuer() -> None:
    workload = sample_of(WORKLOAD_TOKEN)
    for subject in ("spiffe://corp.example/agents/planner", "SPIFFE://corp.example/a", "spiffe:x"):
        assert code_of(workload.text(KEY, sub=subject), workload) == "token-claims"


# --- A130: bit flips ----------------------------------------------------------------------------------------


@samples
def test_a130_no_bit_of_a_token_of_any_kind_can_be_flipped(sample: Sample) -> None:
    text = sample.text(KEY)
    assert code_of(text, sample) == "ok"
    trust, check, now = sample.trust(KEY), JoserfcCheck(), Instant(seconds(NOW))
    for at in range(len(text)):
        for bit in range(8):
            flipped = text[:at] + chr(ord(text[at]) ^ 1 << bit) + text[at + 1 :]
            with pytest.raises(TaskboundError):
                read_jws(flipped, kind=sample.kind, trust=trust, check=check, now=now)


@pytest.mark.parametrize("signer", ALGORITHMS, ids=lambda one: one.alg)
def test_a130_no_bit_of_a_signature_of_any_algorithm_can_be_flipped(signer: Signer) -> None:
    sample = sample_of(JWT_SVID)
    text = sample.text(signer)
    assert code_of(text, sample, signer) == "ok"
    signed, _, signature = text.rpartition(".")
    raw = decode_base64url(signature) or b""
    for at in range(len(raw)):
        flipped = raw[:at] + bytes([raw[at] ^ 1 << at % 8]) + raw[at + 1 :]
        assert code_of(f"{signed}.{b64(flipped)}", sample, signer) in {"token-signature", "token-unproven"}


@pytest.mark.parametrize("signer", ALGORITHMS[:4], ids=lambda one: one.alg)
def test_a128_a_signature_is_of_numbers_in_their_range(signer: Signer) -> None:
    sample = sample_of(JWT_SVID)
    signed, _, signature = sample.text(signer).rpartition(".")
    raw = decode_base64url(signature) or b""
    half = len(raw) // 2
    if signer.alg == "RS256":
        modulus = signer.jwk.modulus
        bad = [modulus, b"\xff" * len(modulus)]
    else:
        order = ORDERS[signer.numbers["crv"]].to_bytes(half)
        numbers = (bytes(half), order, b"\xff" * half)
        bad = [one + raw[half:] for one in numbers] + [raw[:half] + one for one in numbers]
    for other in bad:
        assert code_of(f"{signed}.{b64(other)}", sample, signer) == "token-signature"


# --- algorithms ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sample", EXTERNAL, ids=lambda one: one.name)
@pytest.mark.parametrize("signer", ALGORITHMS, ids=lambda one: one.alg)
def test_an_issuer_outside_signs_with_any_of_the_nine(sample: Sample, signer: Signer) -> None:
    assert code_of(sample.text(signer), sample, signer) == "ok"
    other = replace(signer, private=rsa(bits=3_072).private) if signer.numbers["kty"] == "RSA" else es256()
    assert code_of(sample.text(signer), sample, replace(other, kid="another")) == "token-key"
    if signer.numbers["kty"] == "RSA":
        assert code_of(sample.text(signer), sample, other) == "token-signature"


@pytest.mark.parametrize("alg", ["EdDSA", "Ed25519"])
def test_a_jwt_svid_is_not_signed_with_ed25519_and_an_id_token_may_be(alg: str) -> None:
    signer = ed25519(alg=alg)
    svid, person = sample_of(JWT_SVID), sample_of(ID_TOKEN)
    assert code_of(svid.text(signer), svid, signer) == "token-algorithm"
    assert code_of(person.text(signer), person, signer) == "ok"


@pytest.mark.parametrize("sample", OURS, ids=lambda one: one.name)
@pytest.mark.parametrize(
    "signer", [*ALGORITHMS[1:], ed25519(), ed25519(alg="EdDSA")], ids=lambda one: one.alg
)
def test_i38_tokens_of_ours_are_signed_with_es256_alone(sample: Sample, signer: Signer) -> None:
    assert code_of(sample.text(signer), sample, signer) == "token-algorithm"


@samples
@pytest.mark.parametrize("alg", ["none", "NONE", "HS256", "HS384", "HS512"])
def test_i38_nothing_is_proven_by_no_signature_nor_by_a_key_that_everybody_has(
    sample: Sample, alg: str
) -> None:
    header, payload, _ = replace(sample, header={"alg": alg}).text(KEY).split(".")
    told = f"{header}.{payload}".encode()
    public = (json.dumps(KEY.members).encode(), KEY.private.public_key().public_bytes(PEM, SUBJECT))
    digest = {"HS384": "sha384", "HS512": "sha512"}.get(alg, "sha256")
    assert code_of(f"{told.decode()}.", sample) == "token-segments"
    for proof in (hmac.digest(one, told, digest) for one in public):
        assert code_of(f"{told.decode()}.{b64(proof)}", sample) == "token-algorithm"


@pytest.mark.parametrize("signer", ALGORITHMS, ids=lambda one: one.alg)
def test_i38_a_key_is_used_with_no_algorithm_but_its_own(signer: Signer) -> None:
    sample = sample_of(WORKLOAD_TOKEN)
    for other in ALGORITHMS:
        if other.alg != signer.alg:
            header = {"alg": other.alg}
            text = replace(sample, header=header).text(signer)
            assert code_of(text, sample, signer) == "token-algorithm"


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda one: one.name)
def test_a128_of_two_signatures_ours_take_the_lower_and_others_may_give_either(sample: Sample) -> None:
    compact = split_compact(sample.text(KEY), size=sample.kind.size)
    high = KEY.raw(compact.header, compact.payload, high=True)
    strict = sample in OURS or sample.name == "evidence"
    assert code_of(high, sample) == ("token-signature" if strict else "ok")
    if not strict:  # what it is known by is the same for both
        first, second = (sample.read(one, KEY, now=NOW) for one in (sample.text(KEY), high))
        assert (first.payload_digest, first.claims) == (second.payload_digest, second.claims)
        assert first.digest != second.digest


# --- headers ------------------------------------------------------------------------------------------------


def test_only_kinds_of_issuers_outside_may_have_another_typ_or_none() -> None:
    allowed = {
        "JWT-SVID": {"JWT", "JOSE", ...},
        "workload token": {"JWT", ...},
        "ID token": {"JWT", ...},
        "untyped assertion": {"JWT", ...},
    }
    for sample in SAMPLES:
        for typ in ("JWT", "JOSE", ..., "jwt", "application/jwt", "", sample.kind.typ):
            header: dict[str, Any] = {"typ": typ}
            good = typ in allowed.get(sample.name, {sample.kind.typ})
            code = code_of(replace(sample, header=header).text(KEY), sample)
            assert (code == "ok") == good, (sample.name, typ)
            assert good or code in {"token-kind", "token-header"}


def test_a_header_without_a_name_is_right_where_the_issuer_has_one_key() -> None:
    header: dict[str, Any] = {"kid": ...}
    for sample in SAMPLES:
        text = replace(sample, header=header).text(KEY)
        nameless = sample.kind in (UNTYPED_ASSERTION, WORKLOAD_TOKEN, ID_TOKEN)
        assert code_of(text, sample) == ("ok" if nameless else "token-header"), sample.name
        if nameless:
            assert code_of(text, sample, KEY, es256("another", seed=9)) == "token-key"
            assert code_of(
                text, sample, trust=Trust(issuer=sample.issuer, audience=sample.audience, keys=())
            ) == ("token-key")


@samples
@pytest.mark.parametrize(
    "member", ["jwk", "jku", "x5u", "x5c", "crit", "b64", "zip", "x5t", "x5t#S256", "cty"]
)
def test_i38_a124_a125_a_header_chooses_no_key_and_what_is_passed_over_is_written_down(
    sample: Sample, member: str
) -> None:
    text = replace(sample, header={member: "https://example.com/key"}).text(KEY)
    passed = sample.kind in (WORKLOAD_TOKEN, ID_TOKEN) and member.startswith("x5t")
    assert code_of(text, sample) == ("ok" if passed else "token-header")
    assert code_of(replace(sample, header={member: ["x"]}).text(KEY), sample) in {"token-header", "too-deep"}


def test_a_name_is_as_its_issuer_writes_it_only_where_keys_are_the_issuers_own() -> None:
    odd = es256("keys/2026:11*")
    for sample in EXTERNAL:
        trust = Trust(issuer=sample.issuer, audience=sample.audience, keys=(replace(KEY.jwk, kid=odd.kid),))
        assert code_of(sample.text(odd), sample, trust=trust) == "ok"
    for sample in (*OURS, sample_of(CLIENT_ASSERTION)):
        trust = Trust(issuer=sample.issuer, audience=sample.audience, keys=(replace(KEY.jwk, kid=odd.kid),))
        assert code_of(sample.text(odd), sample, trust=trust) == "token-header"


# --- claims -------------------------------------------------------------------------------------------------


@samples
def test_i40_a131_each_claim_that_a_kind_has_is_needed_and_typed(sample: Sample) -> None:
    kind = sample.kind
    for name in {**kind.every, **kind.required}:
        assert code_of(sample.text(KEY, **{name: ...}), sample) == "token-claims", name
        for value in (None, True, 1.5, "", [], [1], ["a", "b"], -1):
            assert code_of(sample.text(KEY, **{name: value}), sample) != "ok", (name, value)
    for name in kind.optional:
        for value in (None, True, 1.5, "", [1], -1):
            assert code_of(sample.text(KEY, **{name: value}), sample) == "token-claims", (name, value)


@samples
def test_what_nobody_declared_is_in_no_token_of_ours(sample: Sample) -> None:
    assert code_of(sample.text(KEY, epoch=3), sample) == ("token-claims" if sample in OURS else "ok")


@samples
def test_i44_a_kind_says_how_long_its_tokens_live(sample: Sample) -> None:
    life = sample.kind.lifetime // 1_000_000
    assert code_of(sample.text(KEY, iat=NOW, exp=NOW + life), sample) == "ok"
    assert code_of(sample.text(KEY, iat=NOW, exp=NOW + life + 1), sample) == "token-lifetime"
    assert code_of(sample.text(KEY, exp=NOW), sample) == "token-expired"
    assert code_of(sample.text(KEY, exp=NOW + 1), sample) == "ok"
    assert code_of(sample.text(KEY, iat=NOW + 30), sample) == "ok"
    assert code_of(sample.text(KEY, iat=NOW + 31), sample) == "token-not-yet"
    assert code_of(sample.text(KEY, nbf=NOW + 31), sample) == "token-not-yet"


def test_i44_tokens_of_ours_live_five_minutes_at_most() -> None:
    for sample in (*OURS[:3], sample_of(CLIENT_ASSERTION), sample_of(UNTYPED_ASSERTION)):
        assert sample.kind.lifetime == seconds(300)


def test_a_jwt_svid_that_doesnt_say_when_it_was_issued_is_no_good_from_farther_off() -> None:
    svid = sample_of(JWT_SVID)
    life = svid.kind.lifetime // 1_000_000
    assert code_of(svid.text(KEY, iat=..., exp=NOW + 120), svid) == "ok"
    assert code_of(svid.text(KEY, iat=..., exp=NOW + life + 30), svid) == "ok"
    assert code_of(svid.text(KEY, iat=..., exp=NOW + life + 31), svid) == "token-not-yet"
    assert code_of(svid.text(KEY, iat=..., nbf=NOW + 120, exp=NOW + 120), svid) == "token-lifetime"


@samples
def test_a132_a133_issuer_and_audience_are_compared_whole(sample: Sample) -> None:
    text = sample.text(KEY)
    for issuer in (sample.issuer[:-1], sample.issuer + "/", sample.issuer.upper(), "", "corp.example.evil"):
        trust = Trust(issuer=issuer, audience=sample.audience, keys=(KEY.jwk,))
        assert code_of(text, sample, trust=trust) == "token-issuer", issuer
    for audience in (sample.audience + "/", sample.audience.upper() + "X", "https://other.example.com"):
        trust = Trust(issuer=sample.issuer, audience=audience, keys=(KEY.jwk,))
        assert code_of(text, sample, trust=trust) == "token-audience", audience


@samples
def test_i40_a132_a_token_is_for_one_and_no_more(sample: Sample) -> None:
    if sample.audience:
        for audience in ([sample.audience, "other"], [sample.audience] * 2, [], {"a": 1}):
            assert code_of(sample.text(KEY, aud=audience), sample) == "token-claims"
        assert code_of(sample.text(KEY, aud=[sample.audience]), sample) == "ok"
    else:
        assert code_of(sample.text(KEY, aud="anybody"), sample) == "token-claims"


def test_an_id_token_that_was_authorized_for_another_client_is_not_ours() -> None:
    person = sample_of(ID_TOKEN)
    assert code_of(person.text(KEY, azp="another"), person) == "token-audience"
    assert code_of(person.text(KEY, azp=...), person) == "ok"


def test_a152_a_client_assertion_is_the_clients_own() -> None:
    for kind in (CLIENT_ASSERTION, UNTYPED_ASSERTION):
        sample = sample_of(kind)
        assert code_of(sample.text(KEY, sub="agent:other"), sample) == "token-kind"
        assert code_of(sample.text(KEY, iss="agent:other"), sample) == "token-kind"


@pytest.mark.parametrize(
    "subject",
    [
        "spiffe://corp.example",
        "spiffe://corp.example/",
        "spiffe://corp.example//a",
        "spiffe://corp.example/a/",
        "spiffe://corp.example/./a",
        "spiffe://corp.example/a/..",
        "spiffe://Corp.example/a",
        "SPIFFE://corp.example/a",
        "spiffe://corp.example:443/a",
        "spiffe://u@corp.example/a",
        "spiffe://corp.example/a?b",
        "spiffe://corp.example/a#b",
        "spiffe://corp.example/%61",
        "spiffe:///a",
        "spiffe://corp.example/a\n",
        "spiffe://corp.example/" + "a" * 2_048,
        "https://corp.example/a",
    ],
)
def test_a_subject_that_is_no_spiffe_id_of_a_workload_is_none_of_a_jwt_svid(subject: str) -> None:
    svid = sample_of(JWT_SVID)
    assert code_of(svid.text(KEY, sub=subject), svid) == "token-claims"


@pytest.mark.parametrize(
    "subject", ["/a", "/agents/planner", "/a..b", "/...", "/a/.b", "/A-z_0." + "9" * 1_900]
)
def test_a_spiffe_id_is_read_whole(subject: str) -> None:
    svid = sample_of(JWT_SVID)
    assert code_of(svid.text(KEY, sub=f"spiffe://corp.example{subject}"), svid) == "ok"


# --- limits -------------------------------------------------------------------------------------------------


@samples
def test_a141_ten_million_characters_are_refused_before_anything_is_decoded(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decoded(_text: str) -> bytes:
        raise AssertionError("it was decoded")

    monkeypatch.setattr("taskbound.wire.jose.compact.decode_base64url", decoded)
    for text in ("A" * 10_000_000, "." * 10_000_000, sample.text(KEY) + "A" * 10_000_000):
        assert code_of(text, sample) == "token-size"

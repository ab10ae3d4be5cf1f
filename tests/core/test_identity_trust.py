"""What a SPIFFE ID, a bundle and a trust domain are."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import replace
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.core.clock import Duration, Instant, days, minutes, seconds
from taskbound.core.errors import TaskboundError
from taskbound.core.identity.selector import (
    BadSpiffeIdError,
    BadTrustDomainError,
    SpiffeId,
    SvidFormError,
    parse_spiffe_id,
    parse_trust_domain,
    require_workload,
)
from taskbound.core.identity.trust import (
    BOUND,
    EMPTY,
    BadBundleError,
    BadTrustError,
    Bundle,
    BundleSizeError,
    EmptyTrustError,
    OlderBundleError,
    StaleTrustError,
    Trust,
    TrustSource,
    admits,
    confirm,
    parse_bundle,
    parse_trust,
    require_authorities,
)

NOW = Instant(seconds(1_800_000_000))
CERT = {"kty": "EC", "use": "x509-svid", "x5c": [b64encode(b"certificate").decode()]}
KEY = {"kty": "EC", "crv": "P-256", "x": "eA", "y": "eQ", "kid": "k1", "use": "jwt-svid"}


def bundle(*keys: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"keys": list(keys), **more}).encode()


def trust(source: str = "file", place: str = "/etc/corp.json", **more: Any) -> Trust:
    return parse_trust("default", "corp.example", source=source, place=place, **more)


@pytest.mark.parametrize(
    ("text", "domain", "path"),
    [
        ("spiffe://corp.example", "corp.example", ""),
        ("spiffe://corp.example/a", "corp.example", "/a"),
        ("spiffe://corp.example/Agents/planner-1_2.x", "corp.example", "/Agents/planner-1_2.x"),
        ("spiffe://10.0.0.1/a", "10.0.0.1", "/a"),
        ("spiffe://a_b-c/...", "a_b-c", "/..."),
        ("spiffe://" + "d" * 255 + "/" + "p" * 1_783, "d" * 255, "/" + "p" * 1_783),
    ],
)
def test_an_id_is_read_as_it_is_written(text: str, domain: str, path: str) -> None:
    found = parse_spiffe_id(text)
    assert found == SpiffeId(domain=domain, path=path)
    assert found.text == text


@pytest.mark.parametrize(
    "text",
    [
        "", "spiffe://", "spiffe:///a", "corp.example/a", "http://corp.example/a", "SPIFFE://corp.example/a",
        "spiffe://Corp.example/a", "spiffe://corp.example/", "spiffe://corp.example//a", "spiffe://corp.example/a/",
        "spiffe://corp.example/.", "spiffe://corp.example/..", "spiffe://corp.example/a/../b", "spiffe://u@corp/a",
        "spiffe://corp.example:80/a", "spiffe://corp.example/a?b", "spiffe://corp.example/a#b", "spiffe://corp/%61",
        "spiffe://c%6frp/a", "spiffe://corp.example/a b", "spiffe://corp.example/a\n", " spiffe://corp.example/a",
        "spiffe://corp.example/ä", "spiffe://cörp/a", "spiffe://corp.example/a\x00", "spiffe://[::1]/a",
        "spiffe://" + "d" * 256 + "/a", "spiffe://corp.example/" + "p" * 2_027, "spiffe://corp.example/*",
        "spiffe:/corp.example/a", "spiffe://corp.example\\a", "spiffe://corp\uff0eexample/a",
    ],
)  # fmt: skip  # a list of words reads better as words
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(BadSpiffeIdError):
        parse_spiffe_id(text)


@given(st.text(max_size=60))
def test_any_text_is_one_id_or_none(text: str) -> None:
    try:
        found = parse_spiffe_id("spiffe://" + text)
    except BadSpiffeIdError:
        return
    assert found.text == "spiffe://" + text


def test_a_workload_has_a_path_and_a_domain_has_none() -> None:
    assert require_workload(parse_spiffe_id("spiffe://corp.example/a")).path == "/a"
    with pytest.raises(SvidFormError):
        require_workload(parse_spiffe_id("spiffe://corp.example"))
    assert parse_trust_domain("corp.example") == "corp.example"
    for text in ("", "Corp", "corp/", "spiffe://corp", "corp\n", "a" * 256, "corp:80"):
        with pytest.raises(BadTrustDomainError):
            parse_trust_domain(text)


def test_a_bundle_holds_what_each_entry_is_for() -> None:
    found = parse_bundle(bundle(CERT, KEY, spiffe_sequence=42, spiffe_refresh_hint=300))
    assert found.x509 == (b"certificate",)
    assert [json.loads(one)["kid"] for one in found.jwt] == ["k1"]
    assert (found.sequence, found.hint) == (42, seconds(300))
    assert parse_bundle(found.document) == found


@pytest.mark.parametrize(
    "entry",
    [
        {**KEY, "use": "wit-svid"},
        {**KEY, "use": "sig"},
        {name: value for name, value in KEY.items() if name != "use"},
        {name: value for name, value in KEY.items() if name != "kid"},
        {**KEY, "kid": ""},
        {**KEY, "kid": 7},
        {**KEY, "kty": "OKP"},
        {**KEY, "kty": 7},
        {name: value for name, value in KEY.items() if name != "kty"},
        {name: value for name, value in CERT.items() if name != "x5c"},
        {**CERT, "use": "x509"},
        {**CERT, "kty": "PQC"},
        {},
    ],
)
def test_an_entry_that_is_for_nothing_here_makes_nobody_believed(entry: dict[str, Any]) -> None:
    assert parse_bundle(bundle(entry)) == EMPTY
    assert parse_bundle(bundle(CERT, entry, KEY)).authorities == 2


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{}", b"[]", b"null", b'{"keys":{}}', b'{"keys":[1]}', b'{"keys":[]', b'{"keys":[],"keys":[]}',
        bundle(KEY, KEY), bundle({**KEY, "d": "AA"}), bundle({"kty": "oct", "k": "AA"}),
        bundle({**KEY, "priv": "x"}),
        bundle({**CERT, "x5c": []}), bundle({**CERT, "x5c": "AA=="}), bundle({**CERT, "x5c": [7]}),
        bundle({**CERT, "x5c": ["*"]}), bundle({**CERT, "x5c": [""]}),
        bundle({**CERT, "x5c": ["-----BEGIN"]}),
        bundle(spiffe_sequence=-1), bundle(spiffe_sequence="1"), bundle(spiffe_sequence=True),
        bundle(spiffe_sequence=1.5), bundle(spiffe_refresh_hint=-1), bundle(spiffe_refresh_hint=None),
    ],
)  # fmt: skip  # a list of words reads better as words
def test_what_is_no_bundle_is_refused_and_never_read_as_an_empty_one(raw: bytes) -> None:
    with pytest.raises(BadBundleError):
        parse_bundle(raw)


def test_a_bundle_has_bounds() -> None:
    many = [{**KEY, "kid": f"k{number}"} for number in range(65)]
    assert len(parse_bundle(bundle(*many[:64])).jwt) == 64
    big = {**CERT, "x5c": [b64encode(bytes(16_385)).decode()]}
    for raw in (bundle(*many), bundle(big), bundle(*[{}] * 600), b" " * 262_145):
        with pytest.raises(BundleSizeError):
            parse_bundle(raw)


def test_every_cut_of_a_bundle_is_refused() -> None:
    raw = bundle(CERT, KEY, spiffe_sequence=42)
    for end in range(len(raw)):
        with pytest.raises(BadBundleError):
            parse_bundle(raw[:end])


def test_a_digest_is_of_who_is_believed_and_not_of_the_number() -> None:
    first = Bundle(x509=(b"a",), sequence=1, hint=seconds(5))
    assert first.digest == Bundle(x509=(b"a",), sequence=2).digest
    assert (
        len({first.digest, EMPTY.digest, Bundle(x509=(b"b",)).digest, Bundle(x509=(b"a", b"b")).digest}) == 4
    )


@pytest.mark.parametrize(
    ("source", "place", "more"),
    [
        ("file", "/etc/spiffe/corp.json", {}),
        ("workload-api", "unix:///run/spire/agent.sock", {}),
        ("workload-api", "tcp://127.0.0.1:8081", {}),
        ("workload-api", "tcp://[::1]:8081", {}),
        ("https_web", "https://corp.example/bundle?x=1", {}),
        ("https_web", "https://10.0.0.1:8443/bundle", {"private": True}),
        ("https_spiffe", "https://corp.example:8443", {"endpoint": "spiffe://corp.example/spire/server"}),
        ("file", "/a", {"bound": minutes(1)}),
        ("file", "/a", {"bound": days(1)}),
    ],
)
def test_a_trust_domain_is_read_as_it_is_written(source: str, place: str, more: dict[str, Any]) -> None:
    found = trust(source, place, **more)
    assert (found.source, found.place) == (TrustSource(source), place)
    assert (found.known, found.stale(NOW)) == (EMPTY, True)


@pytest.mark.parametrize(
    ("source", "place", "more"),
    [
        ("ftp", "/a", {}),
        ("file", "a", {}),
        ("file", "", {}),
        ("file", "/a/../b", {}),
        ("file", "/a\n", {}),
        ("file", "/" + "a" * 1_024, {}),
        ("file", "/a", {"private": True}),
        ("file", "/a", {"endpoint": "spiffe://corp.example/x"}),
        ("file", "/a", {"bound": Duration(minutes(1) - 1)}),
        ("file", "/a", {"bound": Duration(days(1) + 1)}),
        ("workload-api", "/run/agent.sock", {}),
        ("workload-api", "unix://run/agent.sock", {}),
        ("workload-api", "unix:/run/agent.sock", {}),
        ("workload-api", "tcp://localhost:80", {}),
        ("workload-api", "tcp://1.2.3.4", {}),
        ("workload-api", "tcp://1.2.3.4:80/x", {}),
        ("workload-api", "tcp://1.2.3.4:99999", {}),
        ("workload-api", "tcp://1.2.3.400:80", {}),
        ("https_web", "http://corp.example/", {}),
        ("https_web", "https://u@corp.example/", {}),
        ("https_web", "https://corp.example/#x", {}),
        ("https_web", "https:///x", {}),
        ("https_web", "https://corp.example\\@evil.example/", {}),
        ("https_web", "https://corp.example/", {"endpoint": "spiffe://corp.example/x"}),
        ("https_spiffe", "https://corp.example/", {}),
        ("https_spiffe", "https://corp.example/", {"endpoint": "spiffe://corp.example"}),
    ],
)
def test_what_does_not_go_together_is_refused(source: str, place: str, more: dict[str, Any]) -> None:
    with pytest.raises(BadTrustError):
        trust(source, place, **more)


def test_a_bundle_counts_until_its_bound_and_no_longer() -> None:
    held = confirm(trust(), parse_bundle(bundle(CERT, KEY)), now=NOW)
    assert minutes(15) == BOUND
    for at in (NOW, Instant(NOW + BOUND)):
        assert require_authorities(held, "x509", now=at) == (b"certificate",)
        assert len(require_authorities(held, "jwt", now=at)) == 1
    kinds: tuple[Literal["x509", "jwt"], ...] = ("x509", "jwt")
    for kind in kinds:
        with pytest.raises(StaleTrustError):
            require_authorities(held, kind, now=Instant(NOW + BOUND + 1))
        with pytest.raises(StaleTrustError):
            require_authorities(trust(), kind, now=NOW)


def test_an_empty_bundle_trusts_nothing_and_a_shrunk_one_takes_effect() -> None:
    held = confirm(trust(), parse_bundle(bundle(CERT, KEY)), now=NOW)
    shrunk = confirm(held, parse_bundle(bundle(KEY)), now=NOW)
    with pytest.raises(EmptyTrustError):
        require_authorities(shrunk, "x509", now=NOW)
    assert require_authorities(shrunk, "jwt", now=NOW)
    with pytest.raises(EmptyTrustError):
        require_authorities(confirm(shrunk, parse_bundle(bundle()), now=NOW), "jwt", now=NOW)


def test_a_sequence_never_goes_back_and_time_does_not_either() -> None:
    held = confirm(trust(), parse_bundle(bundle(CERT, spiffe_sequence=7)), now=NOW)
    for sequence in ({"spiffe_sequence": 6}, {"spiffe_sequence": 0}, {}):
        with pytest.raises(OlderBundleError):
            confirm(held, parse_bundle(bundle(CERT, **sequence)), now=NOW)
    again = confirm(held, parse_bundle(bundle(CERT, KEY, spiffe_sequence=7)), now=Instant(NOW - 5))
    assert (again.confirmed, again.known.authorities, again.version) == (NOW, 2, held.version + 1)


@pytest.mark.parametrize(
    ("hint", "bound", "every"),
    [(0, 900, 300), (60, 900, 60), (0, 60, 20), (600, 900, 300), (1, 60, 1), (10**9, 86_400, 28_800)],
)
def test_a_source_is_asked_as_it_wishes_and_before_anything_is_stale(
    hint: int, bound: int, every: int
) -> None:
    held = confirm(trust(bound=seconds(bound)), parse_bundle(bundle(CERT, spiffe_refresh_hint=hint)), now=NOW)
    assert held.every == seconds(every)


@pytest.mark.parametrize(
    ("place", "host", "address", "private", "admitted"),
    [
        ("https://corp.example/", "corp.example", "8.8.8.8", False, True),
        ("https://corp.example/", "corp.example", "10.0.0.1", False, False),
        ("https://corp.example/", "corp.example", "127.0.0.1", False, False),
        ("https://corp.example/", "corp.example", "169.254.169.254", False, False),
        ("https://corp.example/", "corp.example", "fd00::1", False, False),
        ("https://corp.example/", "corp.example", "::ffff:10.0.0.1", False, False),
        ("https://corp.example/", "corp.example", "10.0.0.1", True, True),
        ("https://10.0.0.1/", "10.0.0.1", "10.0.0.1", False, False),
        ("https://127.0.0.1/", "127.0.0.1", "127.0.0.1", False, True),
        ("https://localhost/", "localhost", "::1", False, True),
        ("https://localhost/", "localhost", "10.0.0.1", False, False),
        ("https://corp.example/", "localhost", "127.0.0.1", False, False),
        ("https://127.0.0.1/", "127.0.0.2", "127.0.0.2", False, False),
    ],
)
def test_an_endpoint_is_asked_where_that_was_meant(
    place: str, host: str, address: str, *, private: bool, admitted: bool
) -> None:
    assert admits(trust("https_web", place, private=private), host, address) is admitted


def test_every_error_says_what_to_do() -> None:
    for error in (StaleTrustError, EmptyTrustError, OlderBundleError, BadTrustError, BadBundleError):
        assert issubclass(error, TaskboundError)
        assert error.remedy
    assert replace(trust(), place="/b").place == "/b"

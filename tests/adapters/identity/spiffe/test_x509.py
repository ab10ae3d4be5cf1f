from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from taskbound.adapters.identity.spiffe.x509 import (
    prove_chain,
    read_chain,
    require_authority_certificates,
    require_current,
)
from taskbound.core.clock import Instant, seconds
from taskbound.core.errors import TaskboundError
from taskbound.core.identity.proof import BindingKind, WorkloadKind
from taskbound.core.identity.selector import (
    BadSvidError,
    Shown,
    SvidExpiredError,
    SvidFormError,
    SvidNotYetError,
    SvidSizeError,
    SvidUnprovenError,
)
from taskbound.core.identity.trust import BadBundleError, Bundle, ForeignAuthorityError
from tests.peers.certificates import usage
from tests.peers.domain import Domain, Issued

NOW = Instant(seconds(1_800_000_000))
CORP = Domain("corp.example")
OTHER = Domain("corp.example.evil")


def prove(issued: Issued, *roots: Issued, now: Instant = NOW) -> Shown:
    chain = read_chain(issued.chain)
    return prove_chain(chain, [one.der for one in roots or (CORP.authority,)], now=now)


def test_a_chain_of_its_domain_proves_a_workload_and_is_bound_to_its_certificate() -> None:
    issued = CORP.svid("/agents/planner")
    proof = prove(issued)
    assert (proof.kind, proof.issuer) == (WorkloadKind.X509_SVID, "corp.example")
    assert proof.subject == "spiffe://corp.example/agents/planner"
    assert proof.binding is not None
    assert proof.binding.kind is BindingKind.MTLS
    digest = urlsafe_b64encode(hashlib.sha256(issued.der).digest()).rstrip(b"=").decode()
    assert proof.binding.thumbprint == digest
    assert proof.until == int(issued.certificate.not_valid_after_utc.timestamp()) * 1_000_000


def test_a_chain_through_authorities_in_between_proves_until_the_first_of_them_ends() -> None:
    outer = CORP.intermediate(days=1 / 48)
    inner = CORP.intermediate(by=outer, subject="inner")
    issued = CORP.svid(by=inner)
    assert len(issued.chain) == 3
    assert prove(issued).until == int(outer.certificate.not_valid_after_utc.timestamp()) * 1_000_000
    assert prove(issued, outer).subject == "spiffe://corp.example/agents/planner"


def test_without_a_subject_and_with_further_names_it_proves_all_the_same() -> None:
    assert prove(CORP.svid(subject="", names=(x509.DNSName("planner.internal"),))).subject


_U = x509.UniformResourceIdentifier
_PURPOSE = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"uris": ()}, id="no URI, and no names at all"),
        pytest.param({"uris": (), "names": (x509.DNSName("a.example"),)}, id="no URI"),
        pytest.param({"names": (_U("spiffe://corp.example/b"),)}, id="two SPIFFE IDs"),
        pytest.param({"names": (_U("https://corp.example/b"),)}, id="a SPIFFE ID and another URI"),
        pytest.param({"uris": ("spiffe://corp.example",)}, id="without a path"),
        pytest.param({"uris": ("spiffe://Corp.example/a",)}, id="upper case"),
        pytest.param({"uris": ("SPIFFE://corp.example/a",)}, id="upper case scheme"),
        pytest.param({"uris": ("spiffe://corp.example/a/",)}, id="a slash at the end"),
        pytest.param({"uris": ("spiffe://corp.example/a/../b",)}, id="dots"),
        pytest.param({"uris": ("spiffe://corp.example:8443/a",)}, id="a port"),
        pytest.param({"uris": ("spiffe://corp.example/a?b",)}, id="a query"),
        pytest.param({"uris": ("https://corp.example/a",)}, id="no SPIFFE ID"),
        pytest.param({"extensions": ((x509.BasicConstraints(ca=True, path_length=None), True),)}, id="CA"),
        pytest.param({"without": (x509.KeyUsage,)}, id="no key usage"),
        pytest.param({"extensions": ((usage(digital_signature=True), False),)}, id="usage not critical"),
        pytest.param({"extensions": ((usage(key_agreement=True), True),)}, id="no digitalSignature"),
        pytest.param(
            {"extensions": ((usage(digital_signature=True, key_cert_sign=True), True),)}, id="keyCertSign"
        ),
        pytest.param({"extensions": ((usage(digital_signature=True, crl_sign=True), True),)}, id="cRLSign"),
        pytest.param({"extensions": ((_PURPOSE, False),)}, id="a server's purpose alone"),
        pytest.param({"subject": "", "san_critical": False}, id="no subject, names not critical"),
    ],
)
def test_what_is_no_svid_of_a_workload_is_refused_before_any_path(changes: dict[str, Any]) -> None:
    with pytest.raises(SvidFormError) as raised:
        read_chain(CORP.svid(**changes).chain)
    assert raised.value.code == "svid-form"


def test_an_authority_proves_nothing_of_itself() -> None:
    with pytest.raises(SvidFormError):
        read_chain(CORP.root(uris=("spiffe://corp.example/agents/planner",)).chain)


def test_one_that_names_no_purpose_proves() -> None:
    assert prove(CORP.svid(without=(x509.ExtendedKeyUsage,))).subject


def test_time_is_exact_at_both_ends() -> None:
    issued = CORP.svid()
    begin = Instant(int(issued.certificate.not_valid_before_utc.timestamp()) * 1_000_000)
    end = Instant(int(issued.certificate.not_valid_after_utc.timestamp()) * 1_000_000)
    assert prove(issued, now=begin).until == end
    assert prove(issued, now=Instant(end - 1)).until == end
    with pytest.raises(SvidNotYetError):
        prove(issued, now=Instant(begin - 1))
    with pytest.raises(SvidExpiredError):
        prove(issued, now=end)


@pytest.mark.parametrize("begins", [timedelta(days=-40), timedelta(hours=1)])
def test_an_authority_whose_time_is_not_now_stands_behind_nothing(begins: timedelta) -> None:
    root = CORP.root(begins=begins)
    with pytest.raises(SvidUnprovenError):
        prove(CORP.svid(by=root), root)
    between = CORP.intermediate(begins=begins)
    with pytest.raises(SvidUnprovenError):
        prove(CORP.svid(by=between))


def test_an_authority_that_ends_within_the_second_has_ended() -> None:
    between = CORP.intermediate(days=1 / 48)
    end = Instant(int(between.certificate.not_valid_after_utc.timestamp()) * 1_000_000)
    issued = CORP.svid(by=between)
    assert prove(issued, now=Instant(end - 1)).until == end
    with pytest.raises(SvidUnprovenError):
        prove(issued, now=Instant(end + 1))


def test_no_authority_of_another_domain_is_tried() -> None:
    forged = OTHER.issue(by=OTHER.authority, uris=("spiffe://corp.example/agents/planner",))
    assert prove(OTHER.svid(), OTHER.authority).issuer == "corp.example.evil"
    with pytest.raises(SvidUnprovenError):
        prove(forged)


def test_an_authority_that_a_chain_brings_along_is_not_believed() -> None:
    root = OTHER.root(uris=())
    forged = Issued(
        certificate=OTHER.issue(by=root, uris=("spiffe://corp.example/a",)).certificate,
        key=root.key,
        between=(root.certificate,),
    )
    with pytest.raises(SvidUnprovenError):
        prove(forged)


def test_one_of_the_same_name_and_another_key_stands_behind_nothing() -> None:
    twin = CORP.root()
    assert twin.certificate.subject == CORP.authority.certificate.subject
    with pytest.raises(SvidUnprovenError):
        prove(CORP.svid(by=twin))


def test_an_authority_is_as_deep_as_it_allows() -> None:
    root = CORP.root(path_length=0)
    assert prove(CORP.svid(by=root), root).subject
    with pytest.raises(SvidUnprovenError):
        prove(CORP.svid(by=CORP.intermediate(by=root)), root)


@pytest.mark.parametrize(
    "changes",
    [
        {"ca": False},
        {"extensions": ((usage(digital_signature=True), True),)},
        {"uris": ("spiffe://corp.example.evil",)},
        {"uris": ("spiffe://corp.example/agents/planner",)},
    ],
    ids=["no CA", "no keyCertSign", "another domain's", "a workload's ID"],
)
def test_what_stands_in_between_and_is_no_authority_of_the_domain_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(SvidFormError):
        prove(CORP.svid(by=CORP.intermediate(**changes)))


def test_an_extension_that_is_critical_and_unknown_refuses() -> None:
    strange = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
    with pytest.raises(SvidUnprovenError):
        prove(CORP.svid(extensions=((strange, True),)))
    assert prove(CORP.svid(extensions=((strange, False),))).subject
    root = CORP.root(extensions=((strange, True),))
    with pytest.raises(SvidUnprovenError):
        prove(CORP.svid(by=root), root)


def test_a_chain_has_its_bounds() -> None:
    issued, above = CORP.svid(), CORP.authority
    for _ in range(5):
        above = CORP.intermediate(by=above)
    longest = CORP.svid(by=above)
    assert len(longest.chain) == 6
    assert prove(longest).subject
    for chain in ([], longest.chain + CORP.intermediate().chain, [issued.der, b"0" * 32_768]):
        with pytest.raises(SvidSizeError) as raised:
            read_chain(chain)
        assert raised.value.code == "svid-size"
    with pytest.raises(BadSvidError):
        read_chain([issued.der, issued.der])


def test_a_chain_that_is_cut_off_at_any_place_is_refused_by_one_name() -> None:
    raw = CORP.svid().der
    for end in range(len(raw)):
        with pytest.raises(BadSvidError):
            read_chain([raw[:end]])
    with pytest.raises(BadSvidError):
        read_chain([raw + b"\x00"])
    with pytest.raises(BadSvidError):
        read_chain([raw + CORP.authority.der])


def test_no_bit_of_an_svid_can_be_changed() -> None:
    # A signature that ends in zero bits: those could be counted as unused, which is a second text for it.
    whole = next(one.der for one in iter(CORP.svid, None) if one.der[-1] % 4 == 0)
    authorities = [CORP.authority.der]
    for at in range(len(whole) * 8):
        raw = bytearray(whole)
        raw[at // 8] ^= 1 << (at % 8)
        with pytest.raises(TaskboundError):
            prove_chain(read_chain([bytes(raw)]), authorities, now=NOW)


def test_the_authorities_of_a_bundle_are_authorities_of_its_domain() -> None:
    require_authority_certificates("corp.example", Bundle(x509=(CORP.authority.der, CORP.root(uris=()).der)))
    for bad in (CORP.svid().der, CORP.authority.der[:-1], b"certificate"):
        with pytest.raises(BadBundleError):
            require_authority_certificates("corp.example", Bundle(x509=(CORP.authority.der, bad)))
    with pytest.raises(ForeignAuthorityError):
        require_authority_certificates("corp.example", Bundle(x509=(OTHER.authority.der,)))


def test_a_certificate_that_comes_again_is_held_against_the_time_of_each_time() -> None:
    svid = CORP.svid(days=1).der
    for _ in range(2):
        require_current(svid, now=NOW)
        with pytest.raises(SvidExpiredError):
            require_current(svid, now=Instant(NOW + seconds(86_400)))
        with pytest.raises(SvidNotYetError):
            require_current(svid, now=Instant(NOW - seconds(86_400)))
        with pytest.raises(BadSvidError):
            require_current(svid[:-1], now=NOW)
        require_current(CORP.svid(days=2).der, now=Instant(NOW + seconds(86_400)))

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from taskbound.adapters.identity.spiffe.federation import EndpointBundles
from taskbound.core.clock import Instant, minutes
from taskbound.core.errors import TaskboundError
from taskbound.core.identity.trust import (
    BadBundleError,
    Bundle,
    BundleSizeError,
    ForeignAuthorityError,
    Trust,
    TrustSourceError,
    confirm,
    parse_bundle,
    parse_trust,
)
from tests.peers.domain import Domain, Issued
from tests.peers.endpoint import Endpoint, answer

# TLS compares with the machine's own clock.
CORP = Domain("corp.example", now=datetime.now(UTC))
OTHER = Domain("other.example", now=datetime.now(UTC))
WEB = Domain("web.example", now=datetime.now(UTC))
NOW = Instant(int(CORP.now.timestamp()) * 1_000_000)
SERVER = CORP.svid("/spire/server")
ID = "spiffe://corp.example/spire/server"


@pytest.fixture
def authorities(tmp_path: Path) -> str:
    path = tmp_path / "web.pem"
    path.write_bytes(WEB.authority.certificate.public_bytes(serialization.Encoding.PEM))
    return str(path)


def web(place: str, **more: object) -> Trust:
    return replace(
        parse_trust("default", "corp.example", source="https_web", place=place),
        **more,  # type: ignore[arg-type]  # fields by name
    )


def by_spiffe(place: str, endpoint: str = ID, bundle: bytes = b"") -> Trust:
    trust = parse_trust("default", "corp.example", source="https_spiffe", place=place, endpoint=endpoint)
    return confirm(trust, parse_bundle(bundle or CORP.bundle()), now=NOW)


def source(
    *known: Trust,
    authorities: str = "",
    patience: float = 10.0,
    look: Callable[[str, int], Awaitable[Sequence[str]]] | None = None,
) -> EndpointBundles:
    rows = {(one.namespace, one.domain): one for one in known}

    def find(namespace: str, domain: str) -> Trust | None:
        return rows.get((namespace, domain))

    more = {} if look is None else {"look": look}
    return EndpointBundles(find, lambda: NOW, patience=patience, authorities=authorities, **more)


async def first(of: EndpointBundles, trust: Trust) -> Bundle:
    async with aclosing(of.states(trust)) as states:
        return await anext(states)


def leads_to(*addresses: str) -> Callable[[str, int], Awaitable[Sequence[str]]]:
    async def look(_host: str, _port: int) -> Sequence[str]:
        return addresses

    return look


def test_an_endpoint_that_proves_its_name_gives_the_bundle_and_is_told_nothing(authorities: str) -> None:
    async def story() -> None:
        async with Endpoint(WEB.web("127.0.0.1")) as there:
            there.says["/bundle?of=corp"] = CORP.bundle()
            bundle = await first(source(authorities=authorities), web(f"{there.url}bundle?of=corp"))
            assert bundle == parse_bundle(CORP.bundle())
            (head,) = there.heads
            assert head.lower().count(b"\r\nauthorization:") == head.lower().count(b"\r\ncookie:") == 0

    asyncio.run(story())


def test_a_certificate_of_the_trust_domain_itself_proves_no_web_server(authorities: str) -> None:
    async def story(issued: Issued) -> int:
        async with Endpoint(issued) as there:
            there.says["/"] = CORP.bundle()
            with pytest.raises(TrustSourceError, match="does not prove who it is"):
                await first(source(authorities=authorities), web(there.url))
            return len(there.heads)

    for issued in (CORP.web("127.0.0.1"), WEB.web("127.0.0.2"), WEB.web("localhost")):
        assert asyncio.run(story(issued)) == 0


def test_what_the_system_trusts_is_trusted_where_no_file_is_given() -> None:
    async def story() -> None:
        async with Endpoint(WEB.web("127.0.0.1")) as there:
            there.says["/"] = CORP.bundle()
            with pytest.raises(TrustSourceError, match="does not prove who it is"):
                await first(source(), web(there.url))

    asyncio.run(story())


def test_an_endpoint_with_a_spiffe_id_is_proven_by_the_kept_bundle_however_old() -> None:
    async def story() -> None:
        async with Endpoint(SERVER) as there:
            there.says["/"] = CORP.bundle()
            trust = by_spiffe(there.url)
            old = replace(trust, confirmed=Instant(1))
            for known in (trust, old):
                assert (await first(source(known), trust)).x509 == (CORP.authority.der,)
            through = CORP.svid("/spire/server", by=CORP.intermediate())
            there.prove(through)
            assert (await first(source(trust), trust)).x509

    asyncio.run(story())


@pytest.mark.parametrize(
    ("issued", "words"),
    [
        pytest.param(CORP.svid("/spire/agent"), "another SPIFFE ID", id="another of the domain"),
        pytest.param(CORP.svid("/spire/server/x"), "another SPIFFE ID", id="below it"),
        pytest.param(CORP.web("127.0.0.1"), "no SPIFFE ID", id="a name and no ID"),
        pytest.param(OTHER.svid("/spire/server"), "does not prove who it is", id="another domain's"),
        pytest.param(
            OTHER.issue(by=OTHER.authority, uris=(ID,)), "does not prove who it is", id="forged by another"
        ),
        pytest.param(CORP.svid("/spire/server", days=0.0001), "does not prove who it is", id="expired"),
    ],
)
def test_an_endpoint_that_proves_something_else_is_asked_nothing(issued: Issued, words: str) -> None:
    async def story() -> None:
        async with Endpoint(issued) as there:
            there.says["/"] = CORP.bundle()
            trust = by_spiffe(there.url)
            with pytest.raises(TrustSourceError, match=words):
                await first(source(trust), trust)
            assert there.heads == []

    asyncio.run(story())


def test_an_endpoint_of_another_domain_is_proven_by_that_one_while_it_counts() -> None:
    async def story() -> None:
        async with Endpoint(OTHER.svid("/spire/server")) as there:
            there.says["/"] = CORP.bundle()
            trust = replace(by_spiffe(there.url, "spiffe://other.example/spire/server"), bundle=b"")
            row = parse_trust("default", "other.example", source="file", place="/other.json")
            other = confirm(row, parse_bundle(OTHER.bundle()), now=NOW)
            assert (await first(source(trust, other), trust)).x509 == (CORP.authority.der,)
            stale = replace(other, confirmed=Instant(NOW - minutes(16)))
            for known in ((trust, stale), (trust,), (trust, row)):
                with pytest.raises(TrustSourceError):
                    await first(source(*known), trust)

    asyncio.run(story())


def test_a_redirection_is_followed_three_times_under_the_same_rules(authorities: str) -> None:
    async def story() -> None:
        async with Endpoint(WEB.web("127.0.0.1")) as there:
            there.says["/1"] = answer(302, Location="/2")
            there.says["/2"] = answer(307, Location=f"{there.url}3")
            there.says["/3"] = answer(308, Location="/4")
            there.says["/4"] = CORP.bundle()
            of = source(authorities=authorities)
            assert (await first(of, web(f"{there.url}1"))).x509
            there.says["/0"] = answer(301, Location="/1")
            with pytest.raises(TrustSourceError, match="more than 3 times"):
                await first(of, web(f"{there.url}0"))
            for place in (
                "http://127.0.0.1/", "https://a:b@127.0.0.1/", "//127.0.0.1/", "file:///etc/passwd", "bundle",
                "", "https://127.0.0.1/#x", "https://127.0.0.1\\@evil.example/",
            ):  # fmt: skip  # a list of words reads better as words
                there.says["/x"] = answer(302, Location=place)
                with pytest.raises(TrustSourceError, match="no https URL"):
                    await first(of, web(f"{there.url}x"))

    asyncio.run(story())


def test_a_redirection_of_an_endpoint_with_an_id_leads_to_that_id_or_nowhere() -> None:
    async def story() -> None:
        async with Endpoint(SERVER) as there, Endpoint(CORP.svid("/elsewhere")) as elsewhere:
            elsewhere.says["/"] = CORP.bundle()
            there.says["/"] = answer(302, Location=elsewhere.url)
            trust = by_spiffe(there.url)
            with pytest.raises(TrustSourceError, match="another SPIFFE ID"):
                await first(source(trust), trust)
            assert elsewhere.heads == []
            elsewhere.prove(CORP.svid("/spire/server"))
            assert (await first(source(trust), trust)).x509

    asyncio.run(story())


@pytest.mark.parametrize(
    ("host", "address", "private", "admitted"),
    [
        ("bundles.example", "127.0.0.1", False, False),
        ("bundles.example", "127.0.0.1", True, True),
        ("bundles.example", "10.0.0.1", False, False),
        ("bundles.example", "169.254.169.254", False, False),
        ("bundles.example", "::ffff:127.0.0.1", False, False),
        ("localhost", "", False, True),
    ],
)
def test_a_name_leads_to_public_addresses_unless_that_was_allowed(
    authorities: str, host: str, address: str, *, private: bool, admitted: bool
) -> None:
    async def story() -> None:
        async with Endpoint(WEB.web(host)) as there:
            there.says["/"] = CORP.bundle()
            trust = web(f"https://{host}:{there.port}/", private=private)
            of = source(authorities=authorities, look=leads_to("127.0.0.1", address))
            if admitted:
                assert (await first(of, trust)).x509
                return
            with pytest.raises(TrustSourceError, match="not public"):
                await first(of, trust)
            assert there.connections == 0

    asyncio.run(story())


def test_nobody_sends_us_into_the_machine_or_its_network() -> None:
    async def story() -> None:
        async with Endpoint(SERVER) as inside, Endpoint(SERVER, host="127.0.0.2") as there:
            inside.says["/"] = CORP.bundle()
            there.says["/"] = answer(302, Location=inside.url)
            trust = by_spiffe(there.url)
            with pytest.raises(TrustSourceError, match="not public"):
                await first(source(trust), trust)
            assert (len(there.heads), inside.connections) == (1, 0)

    asyncio.run(story())


_PART = b"10000\r\n" + b" " * 65_536 + b"\r\n"
_LONG = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + 5 * _PART


@pytest.mark.parametrize(
    ("said", "error"),
    [
        pytest.param(answer(500), TrustSourceError, id="500"),
        pytest.param(answer(204), TrustSourceError, id="204"),
        pytest.param(answer(304), TrustSourceError, id="304"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{}", TrustSourceError, id="half"),
        *(
            pytest.param(
                answer(200, CORP.bundle()).replace(b"\r\n", b"\r\nContent-Length: %b\r\n" % length, 1),
                TrustSourceError,
                id=f"two lengths, {case}",
            )
            for case, length in {"equal": b"%d" % len(CORP.bundle()), "other": b"3"}.items()
        ),
        pytest.param(b"HTTP/ nonsense\r\n\r\n", TrustSourceError, id="nonsense"),
        pytest.param(b"HTTP/1.1 200 OK\r\nA: " + b"a" * 40_000, TrustSourceError, id="a long head"),
        pytest.param(answer(200, b" " * 262_145), BundleSizeError, id="too large"),
        pytest.param(_LONG, BundleSizeError, id="too large in parts"),
        pytest.param(
            answer(200, gzip.compress(CORP.bundle()), Content_Encoding="gzip"), TrustSourceError, id="gzip"
        ),
        pytest.param(answer(200, b"<html>"), BadBundleError, id="HTML"),
        pytest.param(answer(200, b"{}"), BadBundleError, id="no keys"),
        pytest.param(answer(200, CORP.bundle()[:-2]), BadBundleError, id="cut off"),
        pytest.param(answer(200, OTHER.bundle()), ForeignAuthorityError, id="another domain's"),
    ],
)
def test_what_an_endpoint_must_not_say_is_refused_by_its_name(
    authorities: str, said: bytes, error: type[TaskboundError]
) -> None:
    async def story() -> None:
        async with Endpoint(WEB.web("127.0.0.1")) as there:
            there.says["/"] = said
            with pytest.raises(error):
                await first(source(authorities=authorities, patience=1.0), web(there.url))

    asyncio.run(story())


def test_one_that_hangs_or_asks_for_our_certificate_is_an_error_within_bounds(authorities: str) -> None:
    async def story() -> None:
        async with Endpoint(WEB.web("127.0.0.1")) as there:
            there.hangs = True
            with pytest.raises(TrustSourceError, match="did not answer"):
                await first(source(authorities=authorities, patience=0.3), web(there.url))
        async with Endpoint(WEB.web("127.0.0.1")) as there:
            there.demand(WEB.authority.der)
            with pytest.raises(TrustSourceError):
                await first(source(authorities=authorities, patience=2.0), web(there.url))
            url = there.url
        with pytest.raises(TrustSourceError, match="can't be reached"):
            await first(source(authorities=authorities), web(url))

    asyncio.run(story())


def test_it_is_asked_again_as_often_as_it_wishes(authorities: str) -> None:
    async def story() -> None:
        async with Endpoint(WEB.web("127.0.0.1")) as there:
            there.says["/"] = CORP.bundle(spiffe_refresh_hint=1)
            async with aclosing(source(authorities=authorities).states(web(there.url))) as states:
                assert (await anext(states)).x509
                there.says["/"] = b'{"keys":[]}'
                assert (await anext(states)).authorities == 0
                assert len(there.heads) == 2

    asyncio.run(story())

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from taskbound.adapters.identity.spiffe.workload_api import WorkloadApiBundles
from taskbound.core.clock import seconds
from taskbound.core.errors import TaskboundError
from taskbound.core.identity.trust import (
    BadBundleError,
    Bundle,
    BundleSizeError,
    ForeignAuthorityError,
    Trust,
    TrustRefusedError,
    TrustSourceError,
    parse_bundle,
    parse_trust,
)
from tests.peers.domain import Domain
from tests.peers.workload_api import WorkloadApi, field, message, varint

CORP, OTHER = Domain("corp.example"), Domain("other.example")
IDS = ("spiffe://corp.example", "spiffe://other.example")


def trust(api: WorkloadApi, domain: str = "corp.example") -> Trust:
    return parse_trust("default", domain, source="workload-api", place=api.place)


def fill(api: WorkloadApi) -> None:
    api.x509 = {IDS[0]: CORP.authority.der, IDS[1]: OTHER.authority.der}
    api.jwt = {IDS[0]: CORP.bundle(), IDS[1]: OTHER.bundle()}


async def until(states: AsyncGenerator[Bundle, None], so: Callable[[Bundle], bool]) -> Bundle:
    """The first state that is so."""
    async for bundle in states:
        if so(bundle):
            return bundle
    raise EOFError


async def first(of: Trust, *, patience: float = 10.0) -> Bundle:
    async with aclosing(WorkloadApiBundles(patience=patience).states(of)) as states:
        return await anext(states)


def test_a_domain_has_what_stands_under_its_own_id_over_a_socket_and_over_tcp(tmp_path: Path) -> None:
    for folder in (tmp_path, None):
        with WorkloadApi(folder) as api:
            fill(api)
            bundle = asyncio.run(first(trust(api)))
            assert bundle.x509 == (CORP.authority.der,)
            assert bundle.jwt == parse_bundle(CORP.bundle()).jwt
            assert sorted(api.calls) == ["FetchJWTBundles", "FetchX509Bundles"]
            assert {one["workload.spiffe.io"] for one in api.metadata} == {"true"}


def test_each_message_is_the_whole_state_and_what_is_missing_was_withdrawn(tmp_path: Path) -> None:
    async def story(api: WorkloadApi) -> None:
        async with aclosing(WorkloadApiBundles().states(trust(api))) as states:
            assert len((await anext(states)).x509) == 1
            second = CORP.root()
            api.x509[IDS[0]] = CORP.authority.der + second.der
            api.say()
            bundle = await until(states, lambda one: len(one.x509) == 2)
            assert bundle.x509 == (CORP.authority.der, second.der)
            api.x509[IDS[0]] = second.der
            api.say()
            bundle = await until(states, lambda one: one.x509 == (second.der,))
            assert bundle.jwt
            del api.x509[IDS[0]], api.jwt[IDS[0]]
            api.say()
            assert await until(states, lambda one: not one.authorities) == Bundle()

    with WorkloadApi(tmp_path) as api:
        fill(api)
        asyncio.run(story(api))


def test_a_domain_that_the_server_does_not_know_is_the_empty_bundle(tmp_path: Path) -> None:
    with WorkloadApi(tmp_path) as api:
        fill(api)
        assert asyncio.run(first(trust(api, "corp.example.evil"))) == Bundle()
        assert asyncio.run(first(trust(api, "corp"))) == Bundle()


def test_nothing_counts_before_both_streams_have_spoken(tmp_path: Path) -> None:
    with WorkloadApi(tmp_path) as api:
        fill(api)
        api.raw["FetchJWTBundles"] = b"\xff"
        with pytest.raises(BadBundleError):
            asyncio.run(first(trust(api)))


def test_a_server_that_offers_no_tokens_has_no_authorities_for_them(tmp_path: Path) -> None:
    with WorkloadApi(tmp_path) as api:
        fill(api)
        api.missing = {"FetchJWTBundles"}
        bundle = asyncio.run(first(trust(api)))
        assert (bundle.x509, bundle.jwt) == ((CORP.authority.der,), ())
        api.missing = {"FetchX509Bundles"}
        with pytest.raises(TrustRefusedError):
            asyncio.run(first(trust(api)))


@pytest.mark.parametrize(
    ("status", "error", "word"),
    [
        ("PERMISSION_DENIED", TrustSourceError, "permission-denied"),
        ("UNAVAILABLE", TrustSourceError, "unavailable"),
        ("INTERNAL", TrustSourceError, "13"),
        ("INVALID_ARGUMENT", TrustRefusedError, "invalid-argument"),
    ],
)
def test_the_status_of_a_server_is_named(
    tmp_path: Path, status: str, error: type[TaskboundError], word: str
) -> None:
    with WorkloadApi(tmp_path) as api:
        fill(api)
        api.fail = status
        with pytest.raises(error, match=word):
            asyncio.run(first(trust(api)))


def test_a_stream_that_is_dropped_is_an_error_and_never_the_last_word(tmp_path: Path) -> None:
    async def story(api: WorkloadApi) -> None:
        async with aclosing(WorkloadApiBundles().states(trust(api))) as states:
            await anext(states)
            api.drop()
            with pytest.raises(TrustSourceError):
                await until(states, lambda _: False)

    with WorkloadApi(tmp_path) as api:
        fill(api)
        asyncio.run(story(api))


def test_a_server_that_says_nothing_is_waited_for_within_bounds(tmp_path: Path) -> None:
    with WorkloadApi(tmp_path) as api:
        api.silent = True
        with pytest.raises(TrustSourceError, match="did not answer"):
            asyncio.run(first(trust(api), patience=0.3))


def test_streams_are_opened_anew_so_that_a_state_is_confirmed_again_and_again(tmp_path: Path) -> None:
    async def story(api: WorkloadApi) -> None:
        often = replace(trust(api), bound=seconds(3))
        async with aclosing(WorkloadApiBundles(patience=0.5).states(often)) as states:
            bundles = [await anext(states) for _ in range(3)]
            assert len(api.calls) >= 4
            assert len({one.digest for one in bundles}) == 1
            api.silent = True
            with pytest.raises(TrustSourceError):
                await anext(states)

    with WorkloadApi(tmp_path) as api:
        fill(api)
        asyncio.run(story(api))


def test_a_server_that_is_not_there_and_comes_back_is_an_error_and_then_none(tmp_path: Path) -> None:
    api = WorkloadApi(tmp_path)
    fill(api)
    with api:
        asyncio.run(first(trust(api)))
    with pytest.raises(TrustSourceError):
        asyncio.run(first(trust(api)))
    with api:
        assert asyncio.run(first(trust(api))).x509


ENTRY = field(1, IDS[0].encode()) + field(2, CORP.authority.der)


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        pytest.param(field(2, ENTRY)[:-1], BadBundleError, id="cut off"),
        pytest.param(field(2, ENTRY) * 2, BadBundleError, id="a domain twice"),
        pytest.param(b"\x12" + b"\xff" * 10 + b"\x01", BadBundleError, id="a length without end"),
        pytest.param(b"\x13", BadBundleError, id="a group"),
        pytest.param(b"\x02\x00", BadBundleError, id="a field without a number"),
        pytest.param(b"\x11abc", BadBundleError, id="a fixed number cut off"),
        pytest.param(message(2, {IDS[0]: b"-----BEGIN"}), BadBundleError, id="PEM"),
        pytest.param(message(2, {IDS[0]: CORP.authority.der[:-1]}), BadBundleError, id="half a certificate"),
        pytest.param(message(2, {IDS[0]: CORP.svid().der}), BadBundleError, id="no authority"),
        pytest.param(message(2, {IDS[0]: OTHER.authority.der}), ForeignAuthorityError, id="another's"),
        pytest.param(
            message(2, {IDS[0]: b"".join(b"\x30\x01" + bytes([n]) for n in range(70))}),
            BundleSizeError,
            id="too many",
        ),
        pytest.param(b"\x0a" + varint(1_100_000) + bytes(1_100_000), BundleSizeError, id="too large"),
        pytest.param(field(2, field(1, b"\xff\xfe") + field(2, b"")), BadBundleError, id="no UTF-8"),
    ],
)
def test_wrong_content_is_refused_by_its_name(
    tmp_path: Path, raw: bytes, error: type[TaskboundError]
) -> None:
    with WorkloadApi(tmp_path) as api:
        fill(api)
        api.raw["FetchX509Bundles"] = raw
        with pytest.raises(error):
            asyncio.run(first(trust(api)))


def test_fields_that_nobody_knows_are_passed_over(tmp_path: Path) -> None:
    strange = b"\x08\x01" + b"\x11" + bytes(8) + b"\x1d" + bytes(4) + field(9, b"new") + field(1, b"crl")
    with WorkloadApi(tmp_path) as api:
        fill(api)
        api.raw["FetchX509Bundles"] = strange + field(2, ENTRY + field(3, b"x")) + strange
        assert asyncio.run(first(trust(api))).x509 == (CORP.authority.der,)


@pytest.mark.parametrize(
    "says",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"",
        bytes(range(256)) * 300,
        b"\x00\x00\x00\x04\x00\x00\x00\x00\x00" + b"\x00\x00\x03\x01\x04\x00\x00\x00\x01\xff\xff\xff",
    ],
)
def test_what_speaks_no_grpc_is_refused_by_one_name(tmp_path: Path, says: bytes) -> None:
    async def story() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(100)
            writer.write(says)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            answered.set()

        answered, path = asyncio.Event(), tmp_path / "agent.sock"
        server = await asyncio.start_unix_server(answer, path)
        async with server:
            of = parse_trust("default", "corp.example", source="workload-api", place=f"unix://{path}")
            with pytest.raises(TrustSourceError):
                await first(of)
            await answered.wait()

    asyncio.run(story())

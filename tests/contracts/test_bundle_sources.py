"""What every source of bundles owes, whatever it is: the whole state, in time, or a named error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from taskbound.adapters.identity.spiffe.federation import EndpointBundles
from taskbound.adapters.identity.spiffe.file import FileBundles
from taskbound.adapters.identity.spiffe.workload_api import WorkloadApiBundles
from taskbound.core.clock import Instant, seconds
from taskbound.core.errors import TaskboundError
from taskbound.core.identity.trust import Bundle, Trust, confirm, parse_bundle, parse_trust
from taskbound.ports.identity import BundleSource
from tests.peers.domain import Domain
from tests.peers.endpoint import Endpoint
from tests.peers.workload_api import WorkloadApi

NOW = datetime.now(UTC)  # TLS compares with the machine's own clock
CORP, OTHER = Domain("corp.example", now=NOW), Domain("other.example", now=NOW)
CODES = {"trust-source", "trust-source-refused", "trust-file", "bad-trust-bundle", "trust-bundle-size"}
SOURCES = ("file", "workload-api", "https_web", "https_spiffe")


@dataclass(kw_only=True)
class Place:
    """A source, and who is behind it."""

    source: BundleSource
    trust: Trust
    say: Callable[[bytes], None]
    end: Callable[[], None]
    """Be there no more, or make no sense any more."""


def of_file(folder: Path) -> Place:
    path = folder / "corp.json"

    def say(raw: bytes) -> None:
        fresh = folder / "fresh"
        fresh.write_bytes(raw)
        fresh.chmod(0o600)
        fresh.replace(path)

    def end() -> None:
        path.write_bytes(b"{")

    trust = parse_trust("default", "corp.example", source="file", place=str(path))
    return Place(source=FileBundles(look=0.01), trust=trust, say=say, end=end)


def of_api(api: WorkloadApi) -> Place:
    def say(raw: bytes) -> None:
        bundle = parse_bundle(raw)
        api.x509 = {"spiffe://corp.example": b"".join(bundle.x509)} if bundle.x509 else {}
        api.jwt = {"spiffe://corp.example": raw} if bundle.jwt else {}
        api.say()

    trust = parse_trust("default", "corp.example", source="workload-api", place=api.place)
    return Place(source=WorkloadApiBundles(patience=2.0), trust=trust, say=say, end=api.drop)


def of_endpoint(there: Endpoint, folder: Path, source: str) -> Place:
    def say(raw: bytes) -> None:
        there.says["/"] = raw

    file = folder / "web.pem"
    file.write_bytes(CORP.authority.certificate.public_bytes(serialization.Encoding.PEM))
    spiffe = source == "https_spiffe"
    endpoint = "spiffe://corp.example/spire/server" if spiffe else ""
    trust = parse_trust("default", "corp.example", source=source, place=there.url, endpoint=endpoint)
    known = confirm(trust, parse_bundle(CORP.bundle()), now=Instant(1))
    made = EndpointBundles(
        lambda _space, _domain: known, lambda: Instant(1), patience=2.0, authorities=str(file)
    )
    return Place(source=made, trust=trust, say=say, end=there.says.clear)


@asynccontextmanager
async def placed(source: str, folder: Path) -> AsyncIterator[Place]:
    async with AsyncExitStack() as stack:
        if source == "file":
            place = of_file(folder)
        elif source == "workload-api":
            place = of_api(stack.enter_context(WorkloadApi(folder)))
        else:
            issued = CORP.svid("/spire/server") if source == "https_spiffe" else CORP.web("127.0.0.1")
            place = of_endpoint(await stack.enter_async_context(Endpoint(issued)), folder, source)
        place.trust = replace(place.trust, bound=seconds(3))
        yield place


async def until(states: AsyncGenerator[Bundle, None], so: Callable[[Bundle], bool]) -> Bundle:
    async with asyncio.timeout(20):
        async for bundle in states:
            if so(bundle):
                return bundle
    raise EOFError


@pytest.mark.parametrize("source", SOURCES)
def test_each_state_is_the_whole_one_and_what_is_gone_from_it_is_gone(source: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with placed(source, tmp_path) as place:
            second = CORP.root()
            place.say(CORP.bundle(CORP.authority, second))
            async with aclosing(place.source.states(place.trust)) as states:
                first = await until(states, lambda _: True)
                assert set(first.x509) == {CORP.authority.der, second.der}
                assert len(first.jwt) == 1
                place.say(CORP.bundle(second))
                assert (await until(states, lambda one: len(one.x509) == 1)).x509 == (second.der,)
                place.say(CORP.bundle(keys=[]))
                assert (await until(states, lambda one: not one.authorities)).digest == Bundle().digest
                place.say(CORP.bundle())
                assert (await until(states, lambda one: one.authorities == 2)).x509

    asyncio.run(story())


@pytest.mark.parametrize("source", SOURCES)
def test_a_state_that_stays_is_confirmed_before_it_is_stale(source: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with placed(source, tmp_path) as place:
            place.say(CORP.bundle(spiffe_refresh_hint=0))
            async with aclosing(place.source.states(place.trust)) as states:
                for _ in range(2):
                    async with asyncio.timeout(2.5):
                        assert (await anext(states)).authorities == 2

    asyncio.run(story())


@pytest.mark.parametrize("source", SOURCES)
def test_a_source_that_is_gone_is_a_named_error_and_no_state(source: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with placed(source, tmp_path) as place:
            place.say(CORP.bundle())
            async with aclosing(place.source.states(place.trust)) as states:
                assert (await anext(states)).authorities == 2
                place.end()
                with pytest.raises(TaskboundError) as raised:
                    await until(states, lambda one: one.authorities != 2)
                assert raised.value.code in CODES

    asyncio.run(story())


@pytest.mark.parametrize("source", SOURCES)
def test_an_authority_of_another_domain_is_never_a_state(source: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with placed(source, tmp_path) as place:
            place.say(OTHER.bundle())
            async with aclosing(place.source.states(place.trust)) as states:
                with pytest.raises(TaskboundError) as raised:
                    await anext(states)
                assert raised.value.code == "foreign-authority"

    asyncio.run(story())


@pytest.mark.parametrize("source", SOURCES)
def test_a_source_ends_at_once_when_it_is_cancelled(source: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with placed(source, tmp_path) as place:
            place.say(CORP.bundle())
            states = place.source.states(place.trust)
            assert (await anext(states)).authorities == 2
            waiting = asyncio.ensure_future(anext(states))
            await asyncio.sleep(0)
            waiting.cancel()
            async with asyncio.timeout(30):
                await asyncio.gather(waiting, return_exceptions=True)
                await states.aclose()

    asyncio.run(story())

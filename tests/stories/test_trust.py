"""Whose word counts about workloads: told by the owner, brought by sources, and gone with either."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.clock import minutes
from taskbound.core.decision import Allowance
from taskbound.core.errors import TaskboundError
from taskbound.core.identity import NotOwnerError
from taskbound.core.identity.proof import PrincipalKind, WorkloadKind, WorkloadProof
from taskbound.core.identity.selector import Credential, UnselectedError, parse_selector
from taskbound.core.identity.trust import (
    MOST_DOMAINS,
    BadBundleError,
    BadTrustError,
    Bundle,
    ForeignAuthorityError,
    OlderBundleError,
    StaleTrustError,
    Trust,
    TrustExistsError,
    TrustRefusedError,
    TrustSourceError,
    UnknownTrustError,
    parse_bundle,
    parse_trust,
)
from taskbound.flows.identity import register_person
from taskbound.flows.identity.agent import add_selector
from taskbound.flows.identity.workload import (
    BundleUpdate,
    JwtSvidVerifier,
    Proofs,
    X509SvidVerifier,
    add_trust,
    remove_trust,
    take_bundle,
)
from taskbound.surfaces.api.auth.showing import proving
from taskbound.surfaces.api.operations.workload import Sources
from taskbound.surfaces.api.server.place import Installation
from taskbound.wire.jose import TokenAudienceError, TokenUnprovenError
from taskbound.wiring.trusting import Trusting
from tests.peers.domain import Domain, Issued
from tests.world import ANN, World

if TYPE_CHECKING:
    from taskbound.ports.store import Store

CORP, OTHER = Domain("corp.example"), Domain("other.example")
AUDIENCE = "https://taskbound.example"


def believe(world: World, domain: str = "corp.example", **more: Any) -> Trust:
    trust = parse_trust("default", domain, **{"source": "file", "place": f"/{domain}.json", **more})
    return add_trust(world.adapters, trust, bootstrap=b"", actor=ANN, owns=True)


def take(world: World, trust: Trust, raw: bytes) -> BundleUpdate:
    return take_bundle(world.adapters, trust, parse_bundle(raw))


def shown(issued: Issued) -> Credential:
    first, *rest = issued.chain
    return Credential(kind=WorkloadKind.X509_SVID, raw=first, chain=tuple(rest))


def prove(world: World, issued: Issued, namespace: str = "default") -> str:
    return X509SvidVerifier(world.adapters).verify(namespace, shown(issued), world.clock.now()).subject


def prove_token(world: World, token: str, namespace: str = "default") -> str:
    credential = Credential(kind=WorkloadKind.JWT_SVID, raw=token.encode())
    return (
        JwtSvidVerifier(world.adapters, audience=AUDIENCE)
        .verify(namespace, credential, world.clock.now())
        .subject
    )


@pytest.fixture
def trusted(world: World) -> World:
    take(world, believe(world), CORP.bundle())
    return world


def test_a_domain_is_believed_once_its_source_has_spoken_and_each_change_is_a_record(world: World) -> None:
    trust = believe(world)
    with pytest.raises(StaleTrustError):
        prove(world, CORP.svid())
    assert take(world, trust, CORP.bundle()) is BundleUpdate.CHANGED
    assert prove(world, CORP.svid()) == "spiffe://corp.example/agents/planner"
    assert prove_token(world, CORP.token(aud=AUDIENCE)) == "spiffe://corp.example/agents/planner"
    assert take(world, trust, CORP.bundle()) is BundleUpdate.CONFIRMED
    remove_trust(world.adapters, "default", "corp.example", actor=ANN, owns=True)
    for prover, what in ((prove, CORP.svid()), (prove_token, CORP.token(aud=AUDIENCE))):
        with pytest.raises(UnknownTrustError):
            prover(world, what)  # type: ignore[arg-type]  # each its own
    (added,), (taken,), (removed,) = map(world.events, ("trust-added", "trust-bundle-taken", "trust-removed"))
    assert (added["domain"], added["source"], added["by"]) == ("corp.example", "file", "ann")
    assert (taken["sequence"], len(taken["x509"]), len(taken["jwt"])) == (1, 1, 1)
    assert taken["bundle"] == parse_bundle(CORP.bundle()).digest
    assert removed["domain"] == "corp.example"


def test_an_svid_counts_in_the_namespace_that_believes_its_domain_and_in_no_other(trusted: World) -> None:
    with pytest.raises(UnknownTrustError):
        prove(trusted, CORP.svid(), "other")
    with pytest.raises(UnknownTrustError):
        prove_token(trusted, CORP.token(aud=AUDIENCE), "other")


def test_domains_are_never_merged_and_nobody_speaks_for_another(trusted: World) -> None:
    take(trusted, believe(trusted, "other.example"), OTHER.bundle())
    assert prove(trusted, OTHER.svid()) == "spiffe://other.example/agents/planner"
    forged = OTHER.issue(by=OTHER.authority, uris=("spiffe://corp.example/agents/planner",))
    with pytest.raises(TaskboundError) as raised:
        prove(trusted, forged)
    assert raised.value.code == "svid-unproven"
    with pytest.raises(TaskboundError) as raised:
        prove_token(
            trusted,
            CORP.token(aud=AUDIENCE, key=OTHER.jwt_key, header={"kid": OTHER.kid}),
        )
    assert raised.value.code == "token-key"
    with pytest.raises(TokenUnprovenError):
        prove_token(trusted, CORP.token(aud=AUDIENCE, key=OTHER.jwt_key))


NONE_OF_OURS: tuple[tuple[dict[str, Any], str], ...] = (
    ({"aud": [AUDIENCE, "other"]}, "token-claims"),
    ({"aud": "https://other.example"}, "token-audience"),
    ({"aud": None}, "token-claims"),
    ({"exp": None}, "token-claims"),
    ({"sub": None}, "token-claims"),
    ({"sub": "spiffe://corp.example"}, "token-claims"),
    ({"sub": "planner"}, "token-claims"),
    ({"sub": "spiffe://other.example/agents/planner"}, "unknown-trust-domain"),
    ({"exp": 1_800_000_000 - 1, "iat": 1_799_999_900}, "token-expired"),
    ({"nbf": 1_800_000_031}, "token-not-yet"),
    ({"header": {"alg": "EdDSA"}}, "token-algorithm"),
    ({"header": {"alg": "none"}}, "token-algorithm"),
    ({"header": {"jku": "https://corp.example"}}, "token-header"),
    ({"header": {"typ": "at+jwt"}}, "token-kind"),
    ({"header": {"kid": None}}, "token-header"),
    ({"header": {"kid": "k2"}}, "token-key"),
)


def test_a_jwt_svid_that_is_none_of_ours_is_refused_by_its_name(trusted: World) -> None:
    assert prove_token(trusted, CORP.token(aud=[AUDIENCE]))
    for changes, code in NONE_OF_OURS:
        with pytest.raises(TaskboundError) as raised:
            prove_token(trusted, CORP.token(**{"aud": [AUDIENCE], **changes}))
        assert raised.value.code == code, changes


@pytest.mark.parametrize(
    "other", [f"{AUDIENCE}/", "HTTPS://taskbound.example", "https://taskbound.example.evil.example"]
)
def test_a132_a_token_for_a_name_that_is_like_ours_is_not_for_us(trusted: World, other: str) -> None:
    with pytest.raises(TokenAudienceError):
        prove_token(trusted, CORP.token(aud=other))


def test_law_10_a_bundle_that_nobody_confirms_refuses_at_its_bound(world: World) -> None:
    trust = believe(world, bound=minutes(2))
    take(world, trust, CORP.bundle())
    world.clock.advance(119)
    assert prove(world, CORP.svid())
    world.clock.advance(2)
    for prover, what in ((prove, CORP.svid()), (prove_token, CORP.token(aud=AUDIENCE, exp=1_800_000_900))):
        with pytest.raises(StaleTrustError):
            prover(world, what)  # type: ignore[arg-type]  # each its own
    assert take(world, trust, CORP.bundle()) is BundleUpdate.CONFIRMED
    assert prove(world, CORP.svid())
    assert len(world.events("trust-bundle-taken")) == 1


def test_a_confirmation_is_written_once_in_an_eighth_of_the_bound(trusted: World) -> None:
    def version() -> int:
        with trusted.store.read() as snapshot:
            found = snapshot.trusts.trust("default", "corp.example")
        return found.version if found else 0

    trust = parse_trust("default", "corp.example", source="file", place="/corp.example.json")
    before = version()
    for _ in range(5):
        take(trusted, trust, CORP.bundle())
    assert version() == before
    trusted.clock.advance(15 * 60 / 8)
    take(trusted, trust, CORP.bundle())
    assert version() == before + 1


def test_i43_an_authority_that_is_rotated_out_is_out_and_the_new_one_in(trusted: World) -> None:
    trust = parse_trust("default", "corp.example", source="file", place="/corp.example.json")
    old, new = CORP.authority, CORP.root()
    assert take(trusted, trust, CORP.bundle(old, new)) is BundleUpdate.CHANGED
    assert prove(trusted, CORP.svid(by=old))
    assert prove(trusted, CORP.svid(by=new))
    assert take(trusted, trust, CORP.bundle(new)) is BundleUpdate.CHANGED
    with pytest.raises(TaskboundError) as raised:
        prove(trusted, CORP.svid(by=old))
    assert raised.value.code == "svid-unproven"
    assert take(trusted, trust, CORP.bundle(keys=[])) is BundleUpdate.CHANGED
    for prover, what in ((prove, CORP.svid(by=new)), (prove_token, CORP.token(aud=AUDIENCE))):
        with pytest.raises(TaskboundError) as raised:
            prover(trusted, what)  # type: ignore[arg-type]  # each its own
        assert raised.value.code == "empty-trust"


def test_a_bundle_from_before_is_not_taken_and_not_after_a_restart_either(trusted: World) -> None:
    trust = parse_trust("default", "corp.example", source="file", place="/corp.example.json")
    take(trusted, trust, CORP.bundle(spiffe_sequence=7))
    for world in (trusted, trusted.beside()):
        for sequence in (6, None):
            with pytest.raises(OlderBundleError):
                take(world, trust, CORP.bundle(spiffe_sequence=sequence))
    assert prove(trusted, CORP.svid())


def test_a_bundle_of_another_domain_or_with_a_broken_key_changes_nothing(trusted: World) -> None:
    trust = parse_trust("default", "corp.example", source="file", place="/corp.example.json")
    with pytest.raises(ForeignAuthorityError):
        take(trusted, trust, OTHER.bundle())
    broken = {"kty": "EC", "crv": "P-256", "x": "A" * 43, "y": "A" * 43, "kid": "k", "use": "jwt-svid"}
    with pytest.raises(BadBundleError):
        take(trusted, trust, CORP.bundle(keys=[broken]))
    assert prove(trusted, CORP.svid())


def test_what_a_source_brings_late_is_not_taken_by_a_domain_that_has_another_one(trusted: World) -> None:
    late = parse_trust("default", "corp.example", source="file", place="/corp.example.json")
    remove_trust(trusted.adapters, "default", "corp.example", actor=ANN, owns=True)
    assert take(trusted, late, CORP.bundle()) is BundleUpdate.UNWANTED
    believe(trusted, place="/elsewhere.json")
    assert take(trusted, late, CORP.bundle()) is BundleUpdate.UNWANTED
    with pytest.raises(StaleTrustError):
        prove(trusted, CORP.svid())


def test_only_the_owner_of_the_data_directory_says_whom_to_believe(world: World) -> None:
    trust = parse_trust("default", "corp.example", source="file", place="/a")
    with pytest.raises(NotOwnerError):
        add_trust(world.adapters, trust, bootstrap=b"", actor=ANN, owns=False)
    believe(world)
    with pytest.raises(NotOwnerError):
        remove_trust(world.adapters, "default", "corp.example", actor=ANN, owns=False)
    with pytest.raises(UnknownTrustError):
        remove_trust(world.adapters, "default", "nobody.example", actor=ANN, owns=True)


def test_a_domain_has_one_source_and_a_namespace_so_many_domains(world: World) -> None:
    believe(world)
    with pytest.raises(TrustExistsError):
        believe(world, place="/b.json")
    for number in range(MOST_DOMAINS - 1):
        believe(world, f"d{number}.example")
    with pytest.raises(TrustExistsError):
        believe(world, "one-more.example")


def test_a_bundle_to_begin_with_is_for_an_endpoint_of_the_same_domain(world: World) -> None:
    def add(endpoint: str, bundle: bytes) -> Trust:
        place = "https://corp.example/"
        source = "https_spiffe" if endpoint else "https_web"
        trust = parse_trust("default", "corp.example", source=source, place=place, endpoint=endpoint)
        return add_trust(world.adapters, trust, bootstrap=bundle, actor=ANN, owns=True)

    own, other = "spiffe://corp.example/spire/server", "spiffe://other.example/spire/server"
    for endpoint, bundle in ((own, b""), (other, CORP.bundle()), ("", CORP.bundle())):
        with pytest.raises(BadTrustError):
            add(endpoint, bundle)
    with pytest.raises(ForeignAuthorityError):
        add(own, OTHER.bundle())
    assert add(own, CORP.bundle()).version == 1
    assert prove(world, CORP.svid())


def test_a_refused_svid_is_one_record_and_holds_no_part_of_it(trusted: World) -> None:
    verifiers = {WorkloadKind.X509_SVID: X509SvidVerifier(trusted.adapters)}
    proofs = Proofs(trusted.adapters, verifiers, Allowance())
    with pytest.raises(TaskboundError):
        proofs.prove("default", shown(OTHER.svid()))
    (refused,) = trusted.events("proof-refused")
    assert (refused["code"], refused["form"]) == ("unknown-trust-domain", "x509-svid")
    assert "other.example" not in str(refused)


class Bringing:
    """A source that does what a test tells it to."""

    def __init__(self) -> None:
        self.say: Callable[[], bytes] = CORP.bundle
        self.asked: list[str] = []
        self.told = threading.Semaphore(0)
        """Released for each bundle that was taken, and at each end."""
        self.next = threading.Semaphore(0)
        """Acquired before each further bundle."""

    async def states(self, trust: Trust) -> AsyncGenerator[Bundle, None]:
        self.asked.append(trust.place)
        try:
            while True:
                yield parse_bundle(self.say())
                self.told.release()
                await asyncio.to_thread(self.next.acquire, timeout=20)
        finally:
            self.told.release()


def hear(source: Bringing, times: int = 1) -> None:
    for _ in range(times):
        assert source.told.acquire(timeout=20)
        source.next.release()


def raises(error: Exception) -> Callable[[], bytes]:
    def say() -> bytes:
        raise error

    return say


def test_sources_are_followed_in_a_thread_that_ends_with_what_it_does(store: Store) -> None:
    world, sources, source = World(store=store), Sources(), Bringing()
    trusting = Trusting(world.adapters, sources, made=lambda _: source)
    trusting.start()
    try:
        believe(world)
        sources.look()
        hear(source, 2)
        assert prove(world, CORP.svid())
        assert sources.trouble("default", "corp.example") == ""
        source.say = raises(TrustSourceError("it is away"))
        while not sources.trouble("default", "corp.example"):
            hear(source)
        assert sources.trouble("default", "corp.example") == "it is away [trust-source]"
        assert prove(world, CORP.svid())
        source.say = CORP.bundle
        hear(source, 3)
        assert sources.trouble("default", "corp.example") == ""
        remove_trust(world.adapters, "default", "corp.example", actor=ANN, owns=True)
        sources.look()
        hear(source)
    finally:
        trusting.stop()
    assert "trusting" not in {one.name for one in threading.enumerate()}


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TrustRefusedError("it offers none"), "it offers none [trust-source-refused]"),
        (ZeroDivisionError("x"), "the source failed (ZeroDivisionError); the log says more"),
    ],
)
def test_a_source_that_fails_in_any_way_holds_up_no_other_one(
    world: World, error: Exception, words: str
) -> None:
    bad, good, sources = Bringing(), Bringing(), Sources()
    bad.say, good.say = raises(error), OTHER.bundle
    trusting = Trusting(world.adapters, sources, made=lambda one: bad if "corp" in one.domain else good)
    believe(world)
    believe(world, "other.example")
    trusting.start()
    try:
        hear(good, 2)
        hear(bad)
        while not sources.trouble("default", "corp.example"):
            hear(good)
        assert prove(world, OTHER.svid())
        assert sources.trouble("default", "corp.example") == words
    finally:
        trusting.stop()


def test_sources_whose_names_are_looked_up_without_end_hold_up_no_other_one(world: World) -> None:
    held, begun, found = threading.Event(), threading.Semaphore(0), threading.Semaphore(0)

    class Looking:
        """Looks a name up in a thread, as the loop does; the name of a domain of `slow` is not found."""

        async def states(self, trust: Trust) -> AsyncGenerator[Bundle, None]:
            def look() -> None:
                if trust.domain != "other.example":
                    begun.release()
                    held.wait(20)

            await asyncio.get_running_loop().run_in_executor(None, look)
            yield parse_bundle(OTHER.bundle())
            found.release()
            await asyncio.Event().wait()

    for number in range(MOST_DOMAINS):
        believe(world, f"slow-{number}.example")
    sources = Sources()
    trusting = Trusting(world.adapters, sources, made=lambda _: Looking())
    trusting.start()
    try:
        assert all(begun.acquire(timeout=20) for _ in range(MOST_DOMAINS))
        trust = parse_trust("acme", "other.example", source="file", place="/other.json")
        add_trust(world.adapters, trust, bootstrap=b"", actor=ANN, owns=True)
        sources.look()
        assert found.acquire(timeout=20)
    finally:
        held.set()
        trusting.stop()


def test_two_daemons_take_the_same_bundle_once(stores: tuple[Store, Store]) -> None:
    first = World(store=stores[0])
    second = World(store=stores[1], clock=first.clock, chance=first.chance)
    trust = believe(first)
    barrier, taken = threading.Barrier(2), []

    def work(world: World) -> None:
        barrier.wait()
        taken.append(take(world, trust, CORP.bundle()))

    threads = [threading.Thread(target=work, args=(one,)) for one in (first, second)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(one.name for one in taken) == ["CHANGED", "CONFIRMED"]
    assert len(first.events("trust-bundle-taken")) == 1
    assert prove(second, CORP.svid())


def test_an_svid_proves_the_one_agent_that_a_selector_names_until_its_domain_is_gone(trusted: World) -> None:
    register_person(trusted.adapters, "default", "ann", uid=1000, actor=ANN)
    trusted.add_agent("coder")
    for kind in ("x509-svid", "jwt-svid"):
        selector = parse_selector(
            "default",
            "coder",
            kind=kind,
            issuer="corp.example",
            subjects=["spiffe://corp.example/agents/planner"],
            claims=[],
        )
        add_selector(trusted.adapters, selector, actor=ANN, owns=True)
    place = Installation(home="", pid=1, owner_uid=0, issuer=AUDIENCE)
    _, proofs, _ = proving(trusted.adapters, place, None, {}, None)
    issued = CORP.svid()
    token = Credential(kind=WorkloadKind.JWT_SVID, raw=CORP.token(aud=AUDIENCE).encode())
    for credential in (shown(issued), token):
        principal = proofs.prove("default", credential)
        assert (principal.kind, principal.name) == (PrincipalKind.AGENT, "coder")
        assert principal.proof.words.endswith("spiffe://corp.example/agents/planner by corp.example")
    bound = proofs.prove("default", shown(issued)).proof
    assert isinstance(bound, WorkloadProof)
    assert bound.binding is not None
    with pytest.raises(UnselectedError):
        proofs.prove("default", shown(CORP.svid("/agents/planner2")))
    remove_trust(trusted.adapters, "default", "corp.example", actor=ANN, owns=True)
    for credential in (shown(issued), token):
        with pytest.raises(UnknownTrustError):
            proofs.prove("default", credential)
    assert [one["code"] for one in trusted.events("proof-refused")] == [
        "unselected",
        "unknown-trust-domain",
        "unknown-trust-domain",
    ]

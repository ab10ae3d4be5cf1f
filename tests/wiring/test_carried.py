from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import httpx2
import msgspec
import pytest

from taskbound import AsyncClient, Carried, Client, NotCarriedError, Proof, acarry, carry, guard
from taskbound.adapters.keys.es256 import Es256Key
from taskbound.sdk.guard.proof import dpop
from taskbound.sdk.verify import WHOEVER_HAS_IT, Endpoints, Holders
from taskbound.sdk.verify.asgi import AsgiGuard
from taskbound.wire.connection import Done
from taskbound.wire.identity import SetCeiling
from taskbound.wire.task import StartTask, TaskDetail
from taskbound.wire.tool import AddUpstream, ServerSpec
from taskbound.wiring.guarding import guard as guard_service
from taskbound.wiring.service import ServiceLink, read_key
from tests.house.tree import ROOT
from tests.surfaces.network.test_acting_guide import blocks
from tests.token_world import claims_in
from tests.wiring.guarding import World, opened
from tests.wiring.running import AGENT, client, until
from tests.wiring.test_guarding_guide import registered, serving

DOMAIN = "corp.example"
GRANTS = {"grants": [{"tool": "ledger__book", "arguments": {"text": {"any": True}}}]}
JSON = {"Content-Type": "application/json"}
Told = tuple[int, dict[str, str], Any]


def send(url: str, body: bytes, headers: dict[str, str]) -> Told:
    """One request as any client would send it."""
    try:
        with urlopen(Request(url, body, headers), timeout=20) as answer:  # noqa: S310 - our own service
            return answer.status, dict(answer.headers), json.load(answer)
    except HTTPError as error:
        with error:
            return error.code, dict(error.headers), json.load(error)


@dataclass(kw_only=True)
class There:
    """A daemon with its API, the task of an agent, and a service that does what it permits."""

    world: World
    task: str
    url: str
    books: list[str]

    def told(self, **more: Any) -> dict[str, Any]:
        proof = Proof(kind="assertion", read=self.world.one.assertion)
        return {"task": self.task, "proof": proof, "domain": DOMAIN, **more}

    def client(self, **more: Any) -> Client:
        return Client(self.world.origin, **self.told(**more))

    def booked(self, act: Callable[[Carried], Any], text: str) -> Any:
        """What comes of carrying a permit on so."""

        @guard(server="ledger", effect="write")
        def book(text: str) -> None:
            """Book a text."""
            carried = carry()
            assert json.loads(carried.body) == {"text": text}
            found.append(act(carried))

        found: list[Any] = []
        with self.client() as one:
            book(text)
            one.close()
        return found[0]


@guard(server="ledger", effect="write")
def book(text: str) -> None:
    """Book a text."""


def raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())


def settled(world: World) -> str:
    """The task in which the agent may book."""
    with client(world.one.socket) as one:
        spec = ServerSpec(name="ledger", command="/opt/ledger/bin/ledger", sha256="0" * 64)
        one.ask(AddUpstream(spec=spec, definitions=(raw(dict(book.definition)),), agents=(AGENT,)), Done)
        one.ask(SetCeiling(name=AGENT, ceiling=raw(GRANTS)), Done)
        order = StartTask(agent=AGENT, purpose="keep the book", seconds=3600, scope=raw(GRANTS))
        return one.ask(order, TaskDetail).row.task


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[There]:
    folder = tmp_path_factory.mktemp("carried")
    with opened(folder) as world, doing(world, folder, "ledger") as (url, books):
        yield There(world=world, task=settled(world), url=url, books=books)


@contextmanager
def doing(
    world: World, folder: Path, name: str, *, tools: str = "", **more: Any
) -> Iterator[tuple[str, list[str]]]:
    """A service that books; it knows its holders by the keys that tokens name, and by nothing else."""
    registered(world, name, folder / f"{name}.pem", tools=tools)
    link = ServiceLink(issuer=world.origin, name=name, key=read_key(folder / f"{name}.pem"))
    reader, follower = link.follow()
    books: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        books.append(json.loads((await receive())["body"])["text"])
        kind = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 201, "headers": kind})
        await send({"type": "http.response.body", "body": json.dumps(scope["taskbound"].txn).encode()})

    guards: list[AsgiGuard] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await guards[0](scope, receive, send)  # which has to know where it is reached

    with serving(app) as origin:
        plain: dict[str, Any] = {"holding": Holders(origin=origin)}
        verifier = guard_service(
            name=name,
            issuer=world.origin,
            domain=DOMAIN,
            claims=folder / name / "claims.db",
            status=reader,
            asking=link.asking(),
            **(plain | more),
        )
        guards.append(AsgiGuard(application, verifier, Endpoints({"POST /book": "ledger__book"})))
        try:
            yield f"{origin}/book", books
        finally:
            follower.stop()
            verifier.close()


def test_a_permit_is_carried_to_the_service_that_acts_which_does_it_once(there: There) -> None:
    def act(carried: Carried) -> list[Told]:
        return [send(there.url, carried.body, carried.headers("post", there.url)) for _ in range(2)]

    first, again = there.booked(act, "milk, once")
    assert first[0] == again[0] == 201
    assert first[2] == again[2]
    assert again[1]["taskbound-answer"] == "recorded"
    assert there.books.count("milk, once") == 1
    until(lambda: there.world.one.records("action-outcome") > 0, "its outcome is recorded")


def test_what_is_awaited_is_carried_too(there: There) -> None:
    @guard(server="ledger", tool="book", effect="write")
    async def later(text: str) -> None:
        """Book a text."""
        carried = await acarry()
        assert json.loads(carried.body) == {"text": text}
        headers = carried.headers("POST", there.url)
        told.append(await asyncio.to_thread(send, there.url, carried.body, headers))

    told: list[Told] = []

    async def story() -> None:
        async with AsyncClient(there.world.origin, **there.told()):
            await later("awaited")

    asyncio.run(story())
    assert [each[0] for each in told] == [201]
    assert there.books.count("awaited") == 1


def bare(carried: Carried, headers: dict[str, str], url: str) -> dict[str, str]:
    del carried, url
    return {name: value for name, value in headers.items() if name != "DPoP"}


def by_another_key(carried: Carried, headers: dict[str, str], url: str) -> dict[str, str]:
    now = claims_in(headers["DPoP"])["iat"]
    made = dpop(Es256Key.generate(), method="POST", uri=url, now=now, token=carried.token)
    return {**headers, "DPoP": made}


def of_another_address(carried: Carried, headers: dict[str, str], url: str) -> dict[str, str]:
    return {**headers, "DPoP": carried.prove("POST", url + "s")}


def of_another_method(carried: Carried, headers: dict[str, str], url: str) -> dict[str, str]:
    return {**headers, "DPoP": carried.prove("PUT", url)}


STOLEN = [bare, by_another_key, of_another_address, of_another_method]


@pytest.mark.parametrize("changed", STOLEN)
def test_g8_whoever_reads_a_token_on_its_way_can_do_nothing_with_it(there: There, changed: Any) -> None:
    def act(carried: Carried) -> tuple[Told, Told]:
        headers = carried.headers("POST", there.url)
        stolen = send(there.url, carried.body, changed(carried, headers, there.url))
        return stolen, send(there.url, carried.body, headers)

    text = f"stolen {changed.__name__}"
    (status, headers, said), own = there.booked(act, text)
    assert (status, said["status"]) == (403, 403), said
    assert said["missing"] in {"proof-of-holder", "fresh-proof"}
    assert said["missing"] in headers["www-authenticate"]
    assert own[0] == 201
    assert there.books.count(text) == 1


def test_g8_a_proof_serves_once(there: There) -> None:
    def act(carried: Carried) -> tuple[Told, Told]:
        headers = carried.headers("POST", there.url)
        return send(there.url, carried.body, headers), send(there.url, carried.body, headers)

    first, second = there.booked(act, "proven once")
    assert (first[0], second[0], second[2]["code"]) == (201, 403, "replayed")


def test_another_body_is_not_what_was_decided(there: There) -> None:
    def act(carried: Carried) -> Told:
        body = carried.body.replace(b"altered", b"ALTERED")
        headers = carried.headers("POST", there.url)
        del headers["Content-Digest"]
        return send(there.url, body, headers)

    status, _, said = there.booked(act, "altered")
    assert (status, said["code"]) == (403, "other-content")
    assert there.books.count("ALTERED") == 0


def test_a_service_that_knows_no_sender_takes_it_all_the_same(there: There, tmp_path: Path) -> None:
    def act(carried: Carried) -> Told:
        headers = carried.headers("POST", there.url + "?not=proven#at-all")
        assert claims_in(headers["DPoP"])["htu"] == there.url
        return send(there.url, carried.body, headers)

    assert there.booked(act, "with a query in what is proven")[0] == 201
    with doing(there.world, tmp_path, "other", tools="ledger__*", holding=WHOEVER_HAS_IT) as (url, _):
        assert there.booked(lambda one: send(url, one.body, one.headers("POST", url)), "other")[0] in {
            201,
            403,
        }


def test_the_token_names_the_clients_key_and_the_very_bytes(there: There) -> None:
    def act(carried: Carried) -> tuple[dict[str, Any], str, dict[str, str]]:
        return claims_in(carried.token), repr(carried), carried.headers("POST", there.url)

    claims, shown, headers = there.booked(act, "named")
    assert claims["cnf"].keys() == {"jkt"}
    assert claims["tctx"]["content_digest"] == headers["Content-Digest"]
    assert claims["scope"] == "ledger__book"
    assert headers["Txn-Token"] not in shown


def test_nothing_is_carried_where_nothing_runs_or_once_it_has_run(there: There) -> None:
    with pytest.raises(NotCarriedError, match="nothing runs here"):
        carry()
    kept: list[Any] = []

    @guard(server="ledger", tool="book", effect="write")
    async def later(text: str) -> None:
        """Book a text."""
        del text

        async def afterwards() -> Carried:
            await over.wait()
            return await acarry()

        kept.append(asyncio.get_running_loop().create_task(afterwards()))

    over = asyncio.Event()

    async def story() -> None:
        async with AsyncClient(there.world.origin, **there.told()):
            await later("left behind")
            over.set()
            with pytest.raises(NotCarriedError, match="open action"):
                await kept[0]

    asyncio.run(story())


def test_the_guides_function_carries_its_permit(there: There) -> None:
    (program,) = [one for one in blocks("python", ROOT / "docs/guides/sdk.md") if "carry()" in one]
    names: dict[str, Any] = {
        "BOOK": there.url,
        "ORIGIN": there.world.origin,
        "TASK": there.task,
        "PROOF": there.told()["proof"],
        "Client": Client,
        "carry": carry,
        "guard": guard,
        "httpx2": httpx2,
    }
    program = program.replace("-> str:", "-> None:").replace("    return answer", "    answer")
    exec(compile(program, "sdk.md", "exec"), names)  # noqa: S102 - our own page
    assert there.books.count("milk") == 1


def test_another_trust_domain_is_told_as_what_it_is(there: There) -> None:
    @guard(server="ledger", tool="book", effect="write", failed=(NotCarriedError,))
    def once(text: str) -> None:
        """Book a text."""
        del text
        carry()

    with there.client(domain="other.example") as one:
        with pytest.raises(NotCarriedError, match=r"trust domain `[^`]+`") as caught:
            once("elsewhere")
        one.close()
    assert "trust_domain" in caught.value.advice


# Last: it makes this process a gateway, beneath which the API stands and then acts for no person.
def test_over_the_socket_nothing_is_carried_and_why_is_said(there: There) -> None:
    @guard(server="ledger", tool="book", effect="write", failed=(NotCarriedError,))
    def once(text: str) -> None:
        """Book a text."""
        del text
        carry()

    with Client(home=str(there.world.one.home), agent=AGENT, task=there.task) as one:
        with pytest.raises(NotCarriedError, match="socket"):
            once("near")
        one.close()

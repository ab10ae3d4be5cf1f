from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from taskbound import __version__
from taskbound.core.clock import Instant
from taskbound.core.identity.issuer import Account, parse_identity_issuer
from taskbound.core.identity.sign_in import Session, secret_digest
from taskbound.ports.store import Transaction
from taskbound.sdk.client import AsyncClient, Client, RefusedByDaemonError
from taskbound.surfaces.api.auth.network import FRESH
from taskbound.wire.authorization import AskToken
from taskbound.wire.connection import Done, Fault, Open, Ping, Status
from taskbound.wire.envelope import Answer, Ask
from taskbound.wire.identity import ShowSignIn, SignInShown
from taskbound.wire.network import Shown
from taskbound.wire.task import ListTasks, RegisterRun
from taskbound.wiring.home import find_socket, make_home
from tests.surfaces.api.test_operations import station
from tests.wiring.running import daemon


def code_of(answer: Answer) -> str:
    assert isinstance(answer, Fault)
    return answer.code


SHOWN = Shown(method="GET", uri="http://127.0.0.1:8700/v1/tasks")


async def asked(path: Path, ask: Ask, shown: Shown | None, role: str = "api") -> Answer:
    hello = Open(role=role, version=__version__)
    client, _ = await AsyncClient.connect(path, hello, pushed=lambda _: None, lost=lambda: None)
    try:
        return await client.ask_any(ask, shown=shown)
    finally:
        client.close()


@pytest.mark.parametrize(
    ("shown", "code"),
    [
        (SHOWN, "no-proof"),
        (None, "no-proof"),
        (Shown(method="GET", uri="u", authorization="Basic eyJ"), "bad-proof"),
        (Shown(method="GET", uri="u", dpop="eyJ"), "no-proof"),
        (Shown(method="GET", uri="u", chain=("AAAA",)), "no-proof"),
    ],
)
@pytest.mark.parametrize("ask", [ListTasks(), Status()], ids=["list", "status"])
def test_a_request_of_the_network_is_nobodys_without_a_proof(
    tmp_path: Path, ask: Ask, shown: Shown | None, code: str
) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            answer = await asked(place.path, ask, shown)
            assert isinstance(answer, Fault)
            assert (answer.code, answer.family) == (code, "unproven")

    asyncio.run(story())


@pytest.mark.parametrize("role", ["cli", "run"])
def test_no_other_role_brings_requests_of_the_network(tmp_path: Path, role: str) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            answer = await asked(place.path, ListTasks(), SHOWN, role)
            assert isinstance(answer, Fault)
            assert (answer.code, answer.family) == ("unproven", "denied")
            assert not isinstance(await asked(place.path, Ping(), None), Fault)

    asyncio.run(story())


def test_a_browsers_session_is_somebodys_to_a_page_and_nobodys_to_anything_else(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            secret = "s" * 43
            place.world.store.write(lambda tx: sign_in(tx, secret))
            shown = Shown(method="GET", uri="u", browser=f"default.{secret}")
            page = await asked(place.path, ShowSignIn(), shown)
            assert isinstance(page, SignInShown)
            assert page.person == "ann"
            keyed = replace(shown, key="k")
            assert await asked(place.path, ShowSignIn(), keyed) == page
            nobody = await asked(place.path, ShowSignIn(), replace(keyed, browser=""))
            assert isinstance(nobody, SignInShown)
            assert nobody.person == ""
            for ask in (ListTasks(), Status(), AskToken(form=(("grant_type", "refresh_token"),))):
                answer = await asked(place.path, ask, shown)
                assert isinstance(answer, Fault), ask
            for role, other in (("cli", None), ("cli", shown), ("api", None)):
                assert code_of(await asked(place.path, ShowSignIn(), other, role)) == "unproven"
            proven = replace(shown, authorization="DPoP eyJ")
            assert code_of(await asked(place.path, ShowSignIn(), proven)) == "unproven"

    asyncio.run(story())


def sign_in(tx: Transaction, secret: str) -> None:
    """A session of ann's, as a sign-in leaves it."""
    issuer = parse_identity_issuer(
        "default", "corp", issuer="https://corp.example", audience="us", use="people"
    )
    tx.workloads.put_identity_issuer(issuer)
    now = Instant(1)
    tx.accounts.put_account(
        Account(namespace="default", issuer="corp", subject="s", person="ann", linked=now, by="ann")
    )
    tx.accounts.put_session(
        Session(
            namespace="default",
            id="ses_1",
            secret=secret_digest(secret),
            person="ann",
            issuer="corp",
            subject="s",
            authenticated=now,
            acr="",
            began=now,
            until=Instant(2**52),
        )
    )


def test_the_role_is_of_the_account_that_the_daemon_was_told(tmp_path: Path) -> None:
    make_home(tmp_path / "home")
    socket = find_socket(tmp_path / "home")
    with daemon(tmp_path / "home", "--api", str(os.geteuid() + 1)):
        with pytest.raises(RefusedByDaemonError) as caught:
            Client(socket, Open(role="api", version=__version__))
        assert caught.value.fault.code == "unproven"
        Client(socket, Open(role="cli", version=__version__)).close()


def test_it_is_looked_at_again_whether_the_apis_process_stands_beneath_a_run(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            api = await place.client("api")
            assert code_of(await api.ask_any(ListTasks(), shown=SHOWN)) == "no-proof"
            with place.world.store.read() as snapshot:
                (task,) = snapshot.tasks.tasks("default")
            person = await place.client()
            await person.ask(RegisterRun(task=task.id), Done)
            opened = place.daemon.connections._open.values()  # noqa: SLF001 - whose time is over
            (seen,) = [one for one in opened if one.role == "api"]
            assert seen.outside - place.daemon.loop.time() <= FRESH
            seen.outside = place.daemon.loop.time()  # the second is over
            assert code_of(await api.ask_any(ListTasks(), shown=SHOWN)) == "not-outside"
            assert code_of(await api.ask_any(ListTasks(), shown=SHOWN)) == "not-outside"

    asyncio.run(story())

"""Real Chromium, with its own virtual device, at the page that the daemon serves."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from taskbound.core.action import canonical
from taskbound.core.approval import AnswerKind
from taskbound.core.identity.person_key import PasskeyOriginError
from taskbound.surfaces.api.page.server import Pages
from taskbound.wire import identity as wire
from taskbound.wire.approval import OpenApproval
from taskbound.wire.jose.compact import decode_base64url, encode_base64url
from taskbound.wire.passkey import Assertion, parse_passkey, render_assertion
from tests.peers.chromium import Chromium, chromium
from tests.peers.holding import Answerers, hold_policy
from tests.peers.openssh import Device
from tests.sheet_oracle import parse_sheet
from tests.surfaces.api.test_operations import station
from tests.world import code_of, id_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from taskbound.sdk.client import AsyncClient
    from tests.peers.chromium import Tab
    from tests.surfaces.api.test_operations import Station

pytestmark = pytest.mark.timeout(180)  # a browser takes its time on a machine that does more
SAID = "(document.getElementById('said')?.textContent ?? '')"
HIDDEN = "bob\u202e\u200b  eve"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with chromium(tmp_path_factory.mktemp("browser")) as one:
        yield one


ANYTHING = {"grants": [{"tool": "bank__pay", "others": "any"}]}


class Asked(Answerers):
    """Ann has a passkey in a tab's device, and a payment waits for her confirmation."""

    def __init__(self, place: Station, client: AsyncClient, tab: Tab) -> None:
        self.world, self.place, self.client, self.tab = place.world, place, client, tab
        with self.world.store.read() as snapshot:
            (self.key,) = snapshot.identities.person_keys("default")
        self.devices = {"ann": (self.key, Device())}
        self.task = self.world.start(scope=ANYTHING)
        raw = canonical({"to": "bob", "amount": 5, "note": HIDDEN})
        self.action = id_of(self.world.ask(self.task, arguments=raw))

    async def open(self) -> str:
        digest = self.approval(self.action).question.digest
        ask = OpenApproval(approval=self.action, digest=digest)
        return (await self.client.ask(ask, wire.PageOpened)).address


def enroll(browser: Chromium, address: str) -> Tab:
    tab = browser.tab(address)
    tab.device()
    tab.press("make")
    tab.press("enroll")
    tab.until(f"{SAID}.includes('close this page')")
    return tab


async def enrolled(browser: Chromium, client: AsyncClient) -> Tab:
    opened = await client.ask(wire.OpenEnrollment(person="ann", label="phone"), wire.PageOpened)
    tab = await asyncio.to_thread(enroll, browser, opened.address)
    said = tab.text("said")
    (row,) = (await client.ask(wire.ListPersonKeys(), wire.PersonKeyRows)).rows
    assert row.state == "proposed"
    assert f"taskbound person key confirm {row.key} {row.fingerprint}" in said.splitlines()
    await client.ask(wire.ConfirmPersonKey(key=row.key, fingerprint=row.fingerprint), wire.PersonKeyDetail)
    return tab


@asynccontextmanager
async def asked(path: Path, browser: Chromium) -> AsyncIterator[Asked]:
    async with station(path, policy=hold_policy("confirm")) as place:
        client = await place.client()
        yield Asked(place, client, await enrolled(browser, client))


def test_a_passkey_of_chromium_is_enrolled_on_the_page_and_leaves_nothing_there(
    browser: Chromium, tmp_path: Path
) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            client = await place.client()
            tab = await enrolled(browser, client)
            (row,) = (await client.ask(wire.ListPersonKeys(), wire.PersonKeyRows)).rows
            assert (row.kind, row.state, row.counts, row.label) == ("passkey", "enrolled", True, "phone")
            assert tab.run("location.hash + document.referrer + document.cookie") == ""

    asyncio.run(story())


def test_law_6_what_stands_in_the_browser_reads_back_to_the_action_that_the_passkey_then_lifts(
    browser: Chromium, tmp_path: Path
) -> None:
    async def story() -> None:
        async with asked(tmp_path, browser) as place:
            address = await place.open()

            def use() -> tuple[str, str]:
                place.tab.go(address)
                place.tab.until("document.getElementById('confirm')")
                text = place.tab.text("text")
                place.tab.press("confirm")
                place.tab.until(f"{SAID}.includes('close this page')")
                return text, place.tab.text("said")

            text, said = await asyncio.to_thread(use)
            sheet = parse_sheet(text)
            question = place.approval(place.action).question
            assert (sheet.digest, sheet.action_digest) == (question.digest, question.act)
            assert json.loads(sheet.arguments)["note"] == HIDDEN
            assert not set(HIDDEN) & {*text} - {*"bobeve "}
            assert "is approved" in said
            (answer,) = place.approval(place.action).answers
            assert (answer.kind, answer.key) == (AnswerKind.CONFIRM, place.key.id)
            place.world.adapters.signatures.verify(place.key, answer.statement, answer.signature)
            raw = canonical({"to": "bob", "amount": 5, "note": HIDDEN})
            assert code_of(place.world.ask(place.task, arguments=raw)) == "permit"

    asyncio.run(story())


def test_whoever_comes_second_and_a_reload_see_nothing(browser: Chromium, tmp_path: Path) -> None:
    async def story() -> None:
        async with asked(tmp_path, browser) as place:
            address = await place.open()

            def use() -> tuple[str, str, str]:
                place.tab.go(address)
                place.tab.until("document.getElementById('confirm')")
                second = browser.tab(address)
                second.until(f"{SAID} !== 'This page needs its script.' && {SAID}")
                place.tab.ask("Page.reload")
                place.tab.until(f"{SAID}.includes('whole address')")
                return second.text("said"), second.text("text"), place.tab.text("text")

            said, text, again = await asyncio.to_thread(use)
            assert "[page-over]" in said
            assert (text, again) == ("", "")

    asyncio.run(story())


def test_a_device_that_does_not_know_its_person_signs_nothing(browser: Chromium, tmp_path: Path) -> None:
    async def story() -> None:
        async with asked(tmp_path, browser) as place:
            address = await place.open()

            def use() -> str:
                place.tab.ask("WebAuthn.setUserVerified", authenticatorId=place.tab.own, isUserVerified=False)
                place.tab.go(address)
                place.tab.press("confirm")
                place.tab.until(f"{SAID} !== '' && !{SAID}.includes('asks for your passkey') && {SAID}")
                return place.tab.text("said")

            assert "not allowed" in (await asyncio.to_thread(use)).lower()
            assert place.state(place.action) == ("held", "pending")

    asyncio.run(story())


def test_the_page_stands_in_no_frame_and_under_no_other_name(browser: Chromium, tmp_path: Path) -> None:
    async def story() -> None:
        async with asked(tmp_path, browser) as place, elsewhere() as other:
            address = await place.open()

            def use() -> tuple[list[str], str]:
                tab = browser.tab(other)
                tab.until("document.readyState === 'complete' && document.body")
                for one in (address, other):
                    tab.run(
                        "new Promise((give) => { const one = document.createElement('iframe');"
                        f" one.src = {one!r}; one.onload = () => give(); document.body.append(one); }})"
                    )
                tree = tab.ask("Page.getFrameTree")["frameTree"]
                numbered = browser.tab(address.replace("localhost", "127.0.0.1"))
                numbered.until("document.body?.textContent.includes('page-foreign')")
                place.tab.go(address)
                place.tab.until("document.getElementById('confirm')")
                framed = [str(one["frame"]["url"]) for one in tree["childFrames"]]
                return framed, str(numbered.run("document.body.textContent"))

            framed, numbered = await asyncio.to_thread(use)
            assert framed == [other]  # ours is an error's page, which stands in a process of its own
            assert "another host" in numbered

    asyncio.run(story())


def test_another_page_of_this_machine_that_gets_a_signature_can_not_use_it(
    browser: Chromium, tmp_path: Path
) -> None:
    async def story() -> None:
        async with asked(tmp_path, browser) as place, elsewhere() as other:
            statement = place.statement(place.action, "ann", AnswerKind.CONFIRM)
            credential = encode_base64url(parse_passkey(place.key.public).credential)
            challenge = encode_base64url(sha256(statement).digest())

            def use() -> list[str]:
                place.tab.go(other)
                place.tab.until("document.readyState === 'complete'")
                return list(place.tab.run(PHISHER % (challenge, credential)))

            client_data, device, signature = map(decode_base64url, await asyncio.to_thread(use))
            brought = Assertion(
                origin=(await place.open()).partition("/#")[0],
                credential=parse_passkey(place.key.public).credential,
                client_data=client_data or b"",
                device_data=device or b"",
                signature=signature or b"",
            )
            with pytest.raises(PasskeyOriginError):
                place.world.approvals.answer("default", statement, render_assertion(brought))
            assert place.state(place.action) == ("held", "pending")

    asyncio.run(story())


PHISHER = """
(async () => {
  const read = (text) => Uint8Array.from(
    atob(text.replaceAll("-", "+").replaceAll("_", "/")), (one) => one.charCodeAt(0));
  const write = (raw) => btoa(String.fromCharCode(...new Uint8Array(raw)))
    .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const found = await navigator.credentials.get({ publicKey: {
    challenge: read("%s"), rpId: "localhost", userVerification: "required",
    allowCredentials: [{ type: "public-key", id: read("%s") }] } });
  const said = found.response;
  return [said.clientDataJSON, said.authenticatorData, said.signature].map(write);
})()
"""


def test_under_what_another_program_has_left_in_the_browser_the_page_shows_nothing(
    browser: Chromium, tmp_path: Path
) -> None:
    async def story() -> None:
        async with asked(tmp_path, browser) as place:
            async with elsewhere() as other:

                def leave() -> None:
                    tab = browser.tab(other)
                    tab.until("document.readyState === 'complete' && document.body")
                    tab.run("navigator.serviceWorker.register('/worker.js')")
                    tab.run("navigator.serviceWorker.ready.then(() => true)")

                await asyncio.to_thread(leave)
            port = int(other.rpartition(":")[2].rstrip("/"))

            def again(family: socket.AddressFamily, _: int, backlog: int) -> socket.socket | None:
                if family is socket.AF_INET6:
                    return None
                return socket.create_server(("127.0.0.1", port), family=family, backlog=backlog)

            place.place.daemon.pages = Pages(asyncio.get_running_loop(), listen=again)
            address = await place.open()

            def use() -> tuple[str, str]:
                place.tab.go(address)
                place.tab.until(f"{SAID}.includes('private window')")
                return place.tab.text("said"), place.tab.text("text")

            said, text = await asyncio.to_thread(use)
            assert "Another program has left something" in said
            assert text == ""

    asyncio.run(story())


@asynccontextmanager
async def elsewhere() -> AsyncIterator[str]:
    """A page that somebody else serves on this machine, at a port of theirs."""

    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        try:
            asked_for = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):  # a browser connects ahead of what it asks
            return
        body, kind = b"<!doctype html><title>x</title><body></body>", "text/html"
        if b"worker.js" in asked_for:
            body, kind = b"onfetch = () => {}; onactivate = () => clients.claim()", "text/javascript"
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://localhost:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()
        for one in writers:
            one.close()

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from taskbound.wire.connection import Done
from taskbound.wire.workload import AddIdentityIssuer
from tests.surfaces.network.signing_in import SignIns, signing_in
from tests.token_world import ISSUER
from tests.wiring.running import client, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.peers.browsing import Page

WAIT = 16
"""How many sign-ins wait for one issuer, as ADR 0025 says."""


@contextmanager
def stalled() -> Iterator[tuple[str, threading.Event]]:
    """An issuer that takes connections and says nothing, until the end; set once somebody asks it."""
    asked, held = threading.Event(), list[socket.socket]()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def take() -> None:
            while True:
                try:
                    one, _ = listening.accept()
                except OSError:
                    return
                held.append(one)
                asked.set()

        thread = threading.Thread(target=take)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", asked
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()
            for one in held:
                one.close()


def crowd(there: SignIns, issuer: str, many: int, found: list[Page]) -> list[threading.Thread]:
    """So many browsers that go to sign in there at once; each page is found when it comes."""
    threads = [
        threading.Thread(target=lambda: found.append(there.browser().ask(f"{ISSUER}/sign-in/{issuer}")))
        for _ in range(many)
    ]
    for one in threads:
        one.start()
    return threads


def test_an_issuer_that_says_nothing_keeps_its_own_sign_ins_waiting_and_no_others(tmp_path: Path) -> None:
    found: list[Page] = []
    with signing_in(tmp_path) as there:
        with stalled() as (issuer, asked):
            with client(there.asking.socket) as one:
                add = AddIdentityIssuer(name="slow", issuer=issuer, use="people", audience="us", private=True)
                one.ask(add, Done)
            threads = crowd(there, "slow", WAIT + 4, found)
            assert asked.wait(20)
            until(lambda: len(found) == 4, "as many wait as may")
            assert {(page.status, page.code) for page in found} == {(503, "too-many-sign-ins")}
            browser = there.browser()
            begun = browser.ask(f"{ISSUER}/sign-in/corp")
            assert (begun.status, len(found)) == (303, 4)  # nobody else has been told anything meanwhile
            assert there.sign_in(browser).status == 200
            assert "alice" in browser.open(f"{ISSUER}/sign-in").text
        for thread in threads:
            thread.join()
        assert {page.code for page in found[4:]} == {"issuer-unreachable"}
        assert [one["issuer"] for one in there.events("sign-in-refused")] == ["slow"] * WAIT
        page = there.browser().ask(f"{ISSUER}/sign-in/nobody")
        assert (page.status, page.code) == (403, "unknown-identity-issuer")
        last = there.events("sign-in-refused")[-1]
        assert (last["issuer"], last["code"], last["address"]) == ("", "unknown-identity-issuer", "127.0.0.1")

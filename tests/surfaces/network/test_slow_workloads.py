from __future__ import annotations

import asyncio
import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.identity.oidc.keys import FRESH, PAUSE
from taskbound.core.identity.issuer import parse_identity_issuer
from taskbound.flows.identity.account import add_identity_issuer
from taskbound.surfaces.api.operations import workload as issuers
from taskbound.wire.connection import Done
from taskbound.wire.workload import AddIdentityIssuer
from tests.surfaces.network.acting import Acting, acted
from tests.surfaces.network.asking import asking as asking_api
from tests.surfaces.network.test_issuer_keys import NEXT, OLD, Forge
from tests.surfaces.network.test_slow_issuers import stalled
from tests.surfaces.network.working import UNPROVEN, claims_of_job, discovery
from tests.token_world import ISSUER
from tests.tokens import es256
from tests.wiring.running import client, until
from tests.world import ANN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.peers.rawhttp import Asked, Say
    from tests.surfaces.network.serving import Answer
    from tests.tokens import Signer

WAIT, MANY = 16, 8
"""How many wait for one issuer, as ADR 0053 says, and more issuers than there once were threads for all."""


def distrust(act: Acting, name: str, issuer: str) -> None:
    """Have the word of an issuer count that never keeps it."""
    row = parse_identity_issuer(
        "default", name, issuer=issuer, audience=ISSUER, use="workloads", private=True
    )
    add_identity_issuer(act.world.adapters, row, actor=ANN, owns=True)


def crowd(forge: Forge, by: Signer, many: int, found: list[Answer], **claims: str) -> list[threading.Thread]:
    """So many strangers who show a token at once; each answer is found when it comes."""

    def show() -> None:
        now = forge.act.world.clock.now() // 1_000_000
        said = {"iss": forge.there.issuer, "aud": ISSUER, "jti": ..., **claims_of_job(), **claims}
        token = by.token("JWT", **said, iat=now, nbf=now - 1, exp=now + 600)
        shown = {"actor_token_type": "urn:ietf:params:oauth:token-type:jwt", "actor_token": token}
        found.append(forge.act.exchange(forge.act.form(forge.task, **{**UNPROVEN, **shown})))

    threads = [threading.Thread(target=show) for _ in range(many)]
    for one in threads:
        one.start()
    return threads


def asking() -> int:
    """How many threads ask issuers now."""
    return sum(one.name == "issuer" for one in threading.enumerate())


def test_issuers_of_workloads_that_say_nothing_keep_their_own_waiting_and_nobody_else(act: Acting) -> None:
    found: list[Answer] = []
    with discovery(OLD) as there:
        forge = Forge(act, there)
        with stalled() as (slow, asked):
            for number in range(MANY):
                distrust(act, f"slow-{number}", f"{slow}/{number}")
            threads = crowd(forge, OLD, WAIT + 4, found, iss=f"{slow}/0")
            assert asked.wait(20)
            until(lambda: len(found) == 4, "as many wait as may")
            assert {(one.status, one.json["error"]) for one in found} == {(503, "temporarily_unavailable")}
            for number in range(1, MANY):
                threads += crowd(forge, OLD, 1, found, iss=f"{slow}/{number}")
            until(lambda: asking() == MANY, "each has one thread")
            forge.proven(OLD)  # though its issuer has to be asked as well
            forge.proven(OLD)
            assert (len(found), asking()) == (4, MANY)
        for one in threads:
            one.join()
        assert {(one.status, one.json["error"]) for one in found[4:]} == {(401, "invalid_client")}
        codes = [one["code"] for one in act.world.events("proof-refused")]
        assert set(codes) == {"issuer-unreachable"}
        until(lambda: asking() == 0, "each thread ends")


@contextmanager
def dripping() -> Iterator[tuple[str, threading.Event]]:
    """An issuer that answers a byte at a time without end; set once somebody asks it."""
    asked, over = threading.Event(), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip() -> None:
            with suppress(OSError):
                one, _ = listening.accept()
                asked.set()
                with one:
                    one.recv(4096)
                    one.sendall(
                        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n"
                    )
                    while not over.wait(0.05):
                        one.sendall(b" ")

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", asked
        finally:
            over.set()
            with suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_an_issuer_that_answers_drop_by_drop_ends_in_its_time_and_delays_nobody_else(act: Acting) -> None:
    found: list[Answer] = []
    with discovery(OLD) as there, dripping() as (slow, asked):
        forge = Forge(act, there, patience=1.0)
        distrust(act, "slow", slow)
        threads = crowd(forge, OLD, 2, found, iss=slow)
        assert asked.wait(20)
        forge.proven(OLD)
        assert found == []
        for one in threads:
            one.join()  # while it drips
        assert [one.status for one in found] == [401, 401]
        assert [one["code"] for one in act.world.events("proof-refused")] == ["issuer-unreachable"] * 2


def test_whose_key_is_known_is_proven_while_the_issuer_hangs_and_a_new_key_when_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuers, "PATIENCE", 0.3)

    with acted(tmp_path) as act:
        found: list[Answer] = []
        hangs, free = threading.Event(), threading.Event()

        async def hang(_asked: Asked, _say: Say) -> bool:
            hangs.set()
            await asyncio.to_thread(free.wait, 20)
            return False

        with discovery(OLD) as there:
            forge, clock = Forge(act, there), act.world.clock
            forge.proven(OLD)
            there.there.takes = hang
            clock.advance(PAUSE / 1_000_000)
            strangers = crowd(forge, es256("made-up", seed=50), WAIT + 1, found)
            assert hangs.wait(20)
            until(lambda: len(found) == 1, "the strangers fill what may wait")
            forge.proven(OLD)  # it is fresh, and waits for nothing
            assert len(found) == 1
            clock.advance(FRESH / 1_000_000)
            forge.proven(
                OLD
            )  # it is old, and what would be asked for is waited for already, longer than that
            forge.proven(OLD)
            assert len(found) == 1
            free.set()
            for one in strangers:
                one.join()
            assert {one.status for one in found[1:]} == {401}

            free.clear()
            hangs.clear()
            clock.advance(FRESH / 1_000_000)
            forge.publish(OLD, NEXT)
            forge.proven(OLD)  # asks, waits a moment, and counts as it does where the issuer fails
            assert hangs.is_set()
            waiting = crowd(forge, NEXT, 1, found)
            free.set()
            waiting[0].join()
            assert found[-1].status == 200
            until(lambda: asking() == 0, "each thread ends")


def test_who_is_proven_by_nothing_but_what_they_bring_has_no_issuer_asked(act: Acting) -> None:
    with discovery(OLD) as there, stalled() as (slow, asked):
        Forge(act, there, patience=1.0)
        distrust(act, "slow", slow)
        brought = {"grant_type": "authorization_code", "code": "c", **there.token(iss=slow)}
        answer = act.post("/oauth/token", brought, DPoP=act.dpop())
        assert answer.status in {400, 401}
        assert not asked.is_set()


def test_a_daemon_ends_in_its_time_though_an_issuer_that_it_asked_says_nothing(tmp_path: Path) -> None:
    found: list[Answer | OSError] = []
    with stalled() as (slow, asked), asking_api(tmp_path) as one, discovery(OLD) as there:
        with client(one.socket) as first:
            first.ask(AddIdentityIssuer(name="slow", issuer=slow, audience=ISSUER, private=True), Done)
        form = one.form(**{**UNPROVEN, **there.token(iss=slow)})

        def show() -> None:
            try:
                found.append(one.post("/oauth/token", form, DPoP=one.dpop()))
            except OSError as error:
                found.append(error)

        thread = threading.Thread(target=show)
        thread.start()
        assert asked.wait(20)
        began = time.monotonic()
        assert one.process.end() == 0
        assert time.monotonic() - began < 15  # before the issuer's 20 seconds are over
        thread.join()
    assert found

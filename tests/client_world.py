"""A client that people use, its browser, and the people who consent."""

from __future__ import annotations

import hashlib
import json
import threading
from base64 import urlsafe_b64encode
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from taskbound.core.errors import DeniedError, TaskboundError
from taskbound.core.token.authorization.asked import Exchange
from taskbound.core.token.authorization.request import Renewal
from taskbound.flows.means import Actor
from taskbound.flows.token import (
    Admitted,
    Askings,
    add_client,
    exchange_code,
    known_client,
    renew,
    resource_of,
)
from tests.world import ANN, World

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.task import Task
    from taskbound.flows.token import StartedRequest

SPACE = "default"
BASE = "https://gate.example"
CALLBACK = "http://127.0.0.1/callback"
RESOURCE = resource_of(BASE, "coder")
VERIFIER = "v" * 43
CHALLENGE = urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
KEY = "k" * 43
EVE = Actor(name="eve", proof="peer-uid:1001 (unproven)")
RACERS = 64
TASK: dict[str, Any] = {"grants": [{"tool": "bank__look", "others": "any"}]}


class Desk:
    """A client, a browser, and the people who consent, at one daemon."""

    def __init__(
        self, world: World, task: Task, *, base: str = BASE, issuer: str = BASE, signs_in: bool = False
    ) -> None:
        self.world = world
        self.task = task
        self.base = base
        self.issuer, self.signs_in = issuer, signs_in
        self.askings = Askings(world.adapters, world.tasks)

    def begin(self, **changes: str) -> StartedRequest:
        told = {
            "response_type": "code",
            "client_id": "desk",
            "redirect_uri": CALLBACK,
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            "resource": RESOURCE,
            "state": "xyz",
            **changes,
        }
        client = known_client(self.world.adapters, SPACE, "desk")
        return self.askings.begin(
            SPACE,
            list(told.items()),
            client=client,
            base=self.base,
            issuer=self.issuer,
            signs_in=self.signs_in,
        )

    def consent(self, begun: StartedRequest, actor: Actor = ANN) -> None:
        self.askings.consent(SPACE, begun.typed, actor, task=self.task.id)

    def collect(self, begun: StartedRequest) -> dict[str, str]:
        there = self.askings.collect(SPACE, begun.asked.id, begun.secret, issuer=BASE)
        return dict(parse_qsl(urlsplit(there).query))

    def code(self, **changes: str) -> str:
        begun = self.begin(**changes)
        self.consent(begun)
        return self.collect(begun)["code"]

    def exchange(self, code: str, **changes: str) -> Admitted:
        plain = {"client": "desk", "redirect": CALLBACK, "verifier": VERIFIER, "resource": RESOURCE}
        return exchange_code(self.world.adapters, SPACE, code, Exchange(**plain | changes))

    def admitted(self, **changes: str) -> Admitted:
        return self.exchange(self.code(), **changes)

    def renew(self, refresh: str, **changes: Any) -> Admitted:
        plain: dict[str, Any] = {"client": "desk", "resource": RESOURCE}
        return renew(self.world.adapters, SPACE, refresh, Renewal(**plain | changes))

    def told(self, *kinds: str) -> list[Any]:
        with self.world.store.read() as snapshot:
            pending = snapshot.audit.pending(limit=10_000)
        events = [json.loads(one.body)["event"] for one in pending]
        return [SimpleNamespace(**one) for one in events if one["kind"] in kinds]


def settled(world: World) -> Desk:
    task = world.settle_in()
    add_client(world.adapters, SPACE, "desk", shown="Desk", redirects=(CALLBACK,), actor=ANN, owns=True)
    return Desk(world, task)


def refused(kind: type[TaskboundError], what: Callable[[], object]) -> None:
    with pytest.raises(kind):
        what()


def race(racers: list[Callable[[], Admitted]]) -> list[Admitted]:
    """What those got who got something, all let go at once."""
    gate = threading.Barrier(len(racers))
    won: list[Admitted] = []

    def run(racer: Callable[[], Admitted]) -> None:
        gate.wait()
        try:
            won.append(racer())
        except (DeniedError, TaskboundError):
            return

    threads = [threading.Thread(target=run, args=(one,)) for one in racers]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    return won

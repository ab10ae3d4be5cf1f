"""An exchange that begins a task, by a process that is killed in the midst of it."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from taskbound.adapters.store.sql import SqlStore
from taskbound.flows.token.issuing import PersonTokenOrder
from tests.stories.test_token_exchange import DETAILS, agent, exchange, save
from tests.token_world import ISSUER, KEY, TokenWorld
from tests.world import ANN, SCOPE, World, WorldChance

if TYPE_CHECKING:
    from pathlib import Path


class Chance(WorldChance):
    """Names that no other life of the database has."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seed = seed

    def name(self, prefix: str) -> str:
        return f"{prefix}_{self._seed:010d}{super().name('x')[-16:]}"


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def exchange_until_killed(folder: Path, point: str, times: int) -> None:
    left = [0]

    def at(here: str) -> None:
        if here == point and left[0]:
            left[0] -= 1
            if not left[0]:
                die()

    store = SqlStore(folder / "t.db", reserve=0, at=at)
    world = World(store=store, chance=Chance(1))
    here = TokenWorld(store, folder, world=world)
    here.settle_in()
    save(here, "pay", SCOPE)
    order = PersonTokenOrder(namespace="default", person="ann", audience=ISSUER, binding=KEY)
    person = here.tokens.issue_person_token(order, ANN).text
    sign = here.signer.signer.sign_token

    def signed(namespace: str, token: str) -> str:
        at("asked")
        text = sign(namespace, token)
        at("signed")
        return text

    here.signer.signer.sign_token = signed  # type: ignore[method-assign]  # points of a kill
    left[0] = times
    exchange(here, agent(here), person, authorization_details=DETAILS)
    (folder / "answered").touch()
    die()

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.core.identity import NotOwnerError
from taskbound.core.token.authorization.errors import (
    BadRedirectError,
    ClientExistsError,
    UnknownClientError,
)
from taskbound.flows.token import add_client, drop_client
from tests.world import ANN, World

if TYPE_CHECKING:
    from taskbound.ports.store import Store

SPACE = "default"
REDIRECTS = ("https://desk.example/done",)


@pytest.fixture
def world(store: Store) -> World:
    return World(store=store)


def add(world: World, name: str = "desk", *, owns: bool = True) -> None:
    add_client(world.adapters, SPACE, name, shown="", redirects=REDIRECTS, actor=ANN, owns=owns)


def names(world: World) -> list[str]:
    with world.store.read() as snapshot:
        return [one.client.id for one in snapshot.authorizations.clients(SPACE)]


def test_only_who_owns_the_data_directory_says_to_which_addresses_codes_go(world: World) -> None:
    with pytest.raises(NotOwnerError):
        add(world, owns=False)
    add(world)
    with pytest.raises(NotOwnerError):
        drop_client(world.adapters, SPACE, "desk", actor=ANN, owns=False)
    assert names(world) == ["desk"]


def test_a_registered_client_is_never_replaced_by_another_of_its_name(world: World) -> None:
    add(world)
    with pytest.raises(ClientExistsError):
        add_client(
            world.adapters,
            SPACE,
            "desk",
            shown="",
            redirects=("https://evil.example/",),
            actor=ANN,
            owns=True,
        )
    with world.store.read() as snapshot:
        kept = snapshot.authorizations.client(SPACE, "desk")
    assert kept is not None
    assert kept.client.redirects[0].text == REDIRECTS[0]


def test_what_is_refused_leaves_nothing_and_what_is_unknown_is_not_removed(world: World) -> None:
    with pytest.raises(BadRedirectError):
        add_client(
            world.adapters, SPACE, "desk", shown="", redirects=("http://desk.example/",), actor=ANN, owns=True
        )
    with pytest.raises(UnknownClientError):
        drop_client(world.adapters, SPACE, "desk", actor=ANN, owns=True)
    assert names(world) == []

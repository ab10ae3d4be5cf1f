"""A target stands beside servers, and the commands that are about servers leave it alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
import pytest

from taskbound import __version__
from taskbound.sdk.client import Client
from taskbound.wire import target
from taskbound.wire.connection import Done, Open
from taskbound.wiring.home import find_socket
from tests.stories.targeting import TOOLS, declared, sealed_for

if TYPE_CHECKING:
    from tests.surfaces.cli.installation import Installation

FILE = declared(owner="alice", approvers=["alice"])


@pytest.fixture
def place(fresh: Installation) -> Installation:
    """With a target that a broker has tested."""
    fresh.prepare()
    add = target.AddTarget(file=msgspec.Raw(json.dumps(FILE).encode()), sealed=sealed_for(FILE))
    with fresh.client() as client:
        canaries = client.ask(add, target.TargetTesting).credentials
    with Client(find_socket(fresh.home), Open(role="broker", version=__version__)) as told:
        asked = target.LeaseCredentials(credentials=canaries)
        for one in told.ask(asked, target.Orders).orders:
            told.ask(target.TellMinted(credential=one.credential, fence=one.fence, sealed=""), Done)
        for one in told.ask(asked, target.Orders).orders:
            told.ask(target.TellGone(credential=one.credential, fence=one.fence), Done)
    return fresh


def test_the_commands_of_servers_leave_a_target_alone_and_say_where_to_go(place: Installation) -> None:
    assert {one["name"] for one in place("tool", "list", "--json").document["rows"]} >= set(TOOLS)
    assert "orders-db" not in place("upstream", "list").out
    removed = place("upstream", "remove", "orders-db", "--yes")
    assert (removed.status, "taskbound target remove orders-db" in removed.err) == (3, True)
    described = place("tool", "describe", "orders-db")
    assert (described.status, "is a target" in described.err) == (2, True)
    assert "orders-db" not in place("doctor").out
    assert set(TOOLS) <= {one["name"] for one in place("tool", "list", "--json").document["rows"]}

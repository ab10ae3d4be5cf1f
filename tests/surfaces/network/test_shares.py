from __future__ import annotations

from contextlib import ExitStack

import pytest

from taskbound.surfaces.network.errors import ApiBusyError
from taskbound.surfaces.network.oauth import Shares


def taken(shares: Shares, held: ExitStack, *, identity: str = "", address: str = "") -> int:
    """How many requests of one client are answered at once when it asks for all it can get."""
    for count in range(1000):
        try:
            held.enter_context(shares.held(identity=identity, address=address))
        except ApiBusyError:
            return count
    raise AssertionError("one client may ask for any number")


@pytest.mark.parametrize(
    ("greedy", "proven"), [(1, False), (2, False), (10, False), (1, True), (2, True), (5, True)]
)
def test_greedy_clients_leave_a_share_to_the_next_one(greedy: int, *, proven: bool) -> None:
    with ExitStack() as held:
        shares = Shares(most=240, reserve=60)
        for number in range(greedy):
            assert taken(
                shares,
                held,
                identity=f"agent-{number}" if proven else "",
                address="10.0.0.1" if proven else f"10.0.0.{number}",
            )
        assert taken(shares, held, address="10.1.0.1")
        assert taken(shares, held, identity="ann", address="10.0.0.1")


def test_any_number_of_networks_leaves_the_reserve_to_identities() -> None:
    with ExitStack() as held:
        shares = Shares(most=240, reserve=60)
        assert sum(taken(shares, held, address=f"10.0.0.{number}") for number in range(250)) == 180
        assert taken(shares, held, address="10.1.0.1") == 0
        assert taken(shares, held, identity="ann", address="10.0.0.1") == 30


def test_identity_has_one_share_whatever_its_addresses_and_a_network_one_whatever_its_hosts() -> None:
    with ExitStack() as held:
        shares = Shares(most=240, reserve=60)
        assert taken(shares, held, identity="ann", address="10.0.0.1")
        assert taken(shares, held, identity="ann", address="10.0.0.2") == 0
        assert taken(shares, held, address="2001:db8::1")
        assert taken(shares, held, address="2001:db8::2") == 0


def test_answered_request_leaves_its_place_to_the_next_one() -> None:
    shares = Shares(most=2, reserve=0)
    for _ in range(3):
        with ExitStack() as held:
            assert taken(shares, held, address="10.0.0.1") == 1

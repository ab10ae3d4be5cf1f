from __future__ import annotations

from ipaddress import ip_network

import pytest

from taskbound.surfaces.http.connection import Bounds
from taskbound.surfaces.http.rate import ConnectionLimits, Proxies

SMALL = Bounds(connections=12, reserve=4, each=3)
PROXY = "10.9.9.9"


class Line:
    """A connection, as far as a room looks at it."""

    def __init__(self, address: str, *, is_answering: bool = False, is_idle: bool = True) -> None:
        self.address = address
        self.is_answering = is_answering
        self.is_idle = is_idle and not is_answering
        self.aborted = False

    def abort(self) -> None:
        self.aborted = True


def room_of(bounds: Bounds = SMALL) -> ConnectionLimits[Bounds, Line]:  # type: ignore[type-var]  # as far as it looks
    return ConnectionLimits(bounds, Proxies([ip_network(PROXY)]))


def filled(room: ConnectionLimits[Bounds, Line], address: str, count: int, **how: bool) -> list[Line]:  # type: ignore[type-var]  # the same
    """So many that were let in, in order."""
    lines = [Line(address, **how) for _ in range(count)]
    assert all(room.enter(one) for one in lines)
    return lines


def test_network_with_its_part_gives_up_its_own_oldest_connection() -> None:
    room = room_of()
    others = filled(room, "10.0.0.2", 3)
    mine = filled(room, "10.0.0.1", 3)
    assert room.enter(Line("10.0.0.1"))
    assert [one.aborted for one in mine] == [True, False, False]
    assert not any(one.aborted for one in others)
    assert room.evicted == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("10.0.0.1", "::ffff:10.0.0.1"),
        ("2001:db8::1", "2001:db8::ffff:1"),
        ("fe80::1%eth0", "fe80::2%eth0"),
    ],
)
def test_addresses_of_one_machine_are_one_network(first: str, second: str) -> None:
    room = room_of()
    oldest, *_ = filled(room, first, 2) + filled(room, second, 1)
    assert room.enter(Line(second))
    assert oldest.aborted


def test_full_room_takes_from_the_network_with_the_most_and_never_refuses_a_newcomer() -> None:
    room = room_of()
    single = [*filled(room, "10.0.0.2", 1), *filled(room, "10.0.0.3", 1), *filled(room, "10.0.0.4", 1)]
    large = filled(room, "10.0.0.1", 3) + filled(room, "10.0.0.5", 2)
    for number in range(3):
        assert room.enter(Line(f"10.1.0.{number}"))
    assert [one.aborted for one in large] == [True, True, False, True, False]
    assert not any(one.aborted for one in single)


def test_unproven_connections_of_any_number_of_networks_leave_the_reserve_to_proven_ones() -> None:
    room = room_of()
    lines = [Line(f"2001:db8:{number:x}::1") for number in range(1000)]
    for one in lines:
        assert room.enter(one)
    assert sum(not one.aborted for one in lines) == SMALL.connections - SMALL.reserve
    assert len(room._unproven) == SMALL.connections - SMALL.reserve  # noqa: SLF001 -- that memory is bounded


def test_proven_connections_are_no_part_of_their_network_and_make_no_room_for_unproven_ones() -> None:
    room = room_of()
    proven = filled(room, "10.0.0.1", 3)
    for one in proven:
        room.prove(one, "ann")
    for number in range(50):
        assert room.enter(Line(f"10.0.0.{number % 3}"))
    assert not any(one.aborted for one in proven)


def test_proven_connections_that_fill_all_places_give_up_one_that_is_idle() -> None:
    room = room_of()
    lines = [Line("10.0.0.1", is_answering=number < 11) for number in range(12)]
    for number, one in enumerate(lines):
        assert room.enter(one)
        room.prove(one, f"agent-{number // 3}")
    assert room.enter(Line("10.0.0.2"))
    assert [one.aborted for one in lines] == [False] * 11 + [True]


def test_connections_of_one_identity_leave_places_to_other_clients() -> None:
    room = room_of()
    for number in range(60):
        one = Line(f"10.0.0.{number % 2}", is_answering=True)
        if room.enter(one):
            room.prove(one, "ann")
    late = Line("10.1.0.1")
    assert room.enter(late)
    room.prove(late, "bob")
    assert [room.enter(Line(f"10.1.0.{number}")) for number in range(2, 5)] == [True] * 3
    assert not late.aborted


def test_connection_whose_request_is_answered_is_spared_while_another_can_make_room() -> None:
    room = room_of()
    answering, waiting, idle = (*filled(room, "10.0.0.1", 2, is_answering=True), *filled(room, "10.0.0.1", 1))
    assert room.enter(Line("10.0.0.1", is_answering=True))
    assert (answering.aborted, waiting.aborted, idle.aborted) == (False, False, True)
    assert not room.enter(Line("10.0.0.1"))


def test_network_that_has_everything_answered_gives_up_one_to_a_smaller_network() -> None:
    room = room_of(Bounds(connections=8, reserve=4, each=4))
    large = filled(room, "10.0.0.1", 4, is_answering=True)
    assert room.enter(Line("10.0.0.2", is_answering=True))
    assert [one.aborted for one in large] == [True, False, False, False]
    assert not room.enter(Line("10.0.0.1"))


def test_refused_connections_linger_in_a_bounded_number() -> None:
    room = room_of(Bounds(connections=2, reserve=0, each=1))
    filled(room, "10.0.0.1", 1, is_answering=True)
    refused = [Line("10.0.0.1") for _ in range(100)]
    assert not any(room.enter(one) for one in refused)
    assert sum(not one.aborted for one in refused) == 64


def test_connections_of_a_declared_proxy_are_not_bounded_by_network() -> None:
    room = room_of()
    lines = filled(room, PROXY, 8)
    filled(room, "10.0.0.1", 3)
    assert not any(one.aborted for one in lines)


def test_place_of_a_connection_that_left_is_free() -> None:
    room = room_of()
    for _ in range(3):
        (left,) = filled(room, "10.0.0.1", 1)
        room.leave(left)
        room.leave(left)
    lines = filled(room, "10.0.0.1", 3)
    assert not any(one.aborted for one in lines)


def test_bodies_that_do_not_arrive_make_room_for_those_of_other_networks_and_of_proven_clients() -> None:
    room = room_of(Bounds(body=10, bodies=40, bodies_each=20))
    held = [*filled(room, "10.0.0.1", 2), *filled(room, "10.0.0.2", 2)]
    for one in held:
        assert room.reserve(one, 10)
    (other,) = filled(room, "10.0.0.3", 1)
    assert room.reserve(other, 10)
    assert sum(one.aborted for one in held) == 1
    (proven,) = filled(room, "10.0.0.4", 1)
    room.prove(proven, "ann")
    assert room.reserve(proven, 20)
    assert not other.aborted
    assert sum(one.aborted for one in held) == 3
    for one in (*held, other, proven):
        room.leave(one)
        room.release(one)
    assert room._reserved == 0  # noqa: SLF001 -- that all of it is given back is the point


def test_bodies_of_one_network_leave_the_rest_to_others() -> None:
    room = room_of(Bounds(body=10, bodies=40, bodies_each=20))
    answering = filled(room, "10.0.0.1", 2, is_answering=True)
    for one in answering:
        assert room.reserve(one, 10)
    (late,) = filled(room, "10.0.0.1", 1)
    assert not room.reserve(late, 10)
    (other,) = filled(room, "10.0.0.2", 1)
    assert room.reserve(other, 10)
    assert not any(one.aborted for one in answering)

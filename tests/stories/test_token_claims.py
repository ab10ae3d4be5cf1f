from __future__ import annotations

import threading
from itertools import count
from typing import TYPE_CHECKING

import pytest

from taskbound.core.clock import Instant, days, minutes, seconds
from taskbound.core.token import ClaimKind, ReplayedError, Use, claim_of
from taskbound.flows.identity import register_person
from taskbound.flows.token import sweep_claims, use_claim, use_claims
from tests.world import ANN, World

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.clock import Duration
    from taskbound.core.token import Claim
    from taskbound.ports.store import Store

RACERS = 64
ROUNDS = 4
SKEW = minutes(2)


def proof(jti: str, until: int) -> Claim:
    return claim_of("default", ClaimKind.DPOP, "thumbprint", jti, until=Instant(until))


def two(stores: tuple[Store, Store]) -> tuple[World, World]:
    first = World(store=stores[0])
    return first, World(store=stores[1], chance=first.chance)


def note(world: World, name: str) -> None:
    register_person(world.adapters, "default", name, uid=1000 + len(name), actor=ANN)


def race(racers: list[Callable[[], bool]]) -> int:
    """How many of them won, all of them let go at once."""
    gate = threading.Barrier(len(racers))
    won: list[bool] = []

    def run(racer: Callable[[], bool]) -> None:
        gate.wait()
        won.append(racer())

    threads = [threading.Thread(target=run, args=(one,)) for one in racers]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(won) == len(racers)
    return sum(won)


def test_i41_of_64_that_show_one_proof_at_once_to_two_daemons_exactly_one_is_the_first(
    stores: tuple[Store, Store],
) -> None:
    worlds = two(stores)
    numbers = count()
    for turn in range(ROUNDS):
        shown = proof(f"jti-{turn}", worlds[0].clock.now() + minutes(5))

        def racer(shown: Claim = shown) -> bool:
            number = next(numbers)
            others = [proof(f"other-{number}-{each}", shown.until) for each in range(2)]
            adapters = worlds[number % 2].adapters
            mine = [shown, *others] if number % 4 < 2 else [*others, shown]
            uses = use_claims(adapters, mine)
            assert [use for one, use in zip(mine, uses, strict=True) if one in others] == [Use.FIRST] * 2
            return uses[mine.index(shown)] is Use.FIRST

        assert race([racer] * RACERS) == 1


def test_a143_a_proof_is_refused_after_a_restart_by_another_daemon_and_when_the_clock_was_set_back(
    stores: tuple[Store, Store],
) -> None:
    first, second = two(stores)
    shown = proof("jti", first.clock.now() + minutes(5))
    use_claim(first.adapters, shown)
    second.clock.at -= minutes(90)
    sweep_claims(second.adapters)
    for world in (first, second):
        with pytest.raises(ReplayedError, match="DPoP proof was used before"):
            use_claim(world.adapters, shown)


def test_i41_a_proof_stays_used_in_its_window_and_the_skew_and_until_the_log_itself_is_past_them(
    world: World,
) -> None:
    end = world.clock.now() + minutes(5)
    use_claim(world.adapters, proof("jti", end))
    world.clock.at = end + SKEW + minutes(60)
    assert (
        sweep_claims(world.adapters) == 0
    )  # the log says nothing of that hour: a restart might begin before it
    world.clock.at = end - minutes(1)
    note(world, "bob")
    world.clock.at = end + SKEW + 1
    assert sweep_claims(world.adapters) == 0
    note(world, "adele")
    world.clock.at = end + SKEW - 10
    assert sweep_claims(world.adapters) == 0  # nor is it, where this daemon's own clock is behind
    world.clock.at = end + SKEW + 10
    assert sweep_claims(world.adapters) == 1
    with pytest.raises(ReplayedError, match="not known any more"):
        use_claim(world.adapters, proof("jti", end))


@pytest.mark.parametrize("apart", [minutes(3), minutes(10), days(365)])
def test_i54_a_replay_is_refused_however_far_ahead_another_daemon_s_clock_is(
    store: Store, apart: Duration
) -> None:
    behind = World(store=store)
    ahead = World(store=store, chance=behind.chance)
    end = Instant(behind.clock.now() + seconds(30))
    use_claim(behind.adapters, proof("jti", end))
    ahead.clock.at = Instant(behind.clock.at + apart)
    note(ahead, "bob")
    assert sweep_claims(ahead.adapters) == 1
    assert behind.clock.now() < end  # where it would be believed, if it were new
    for world in (behind, ahead):
        with pytest.raises(ReplayedError):
            use_claim(world.adapters, proof("jti", end))
    use_claim(
        behind.adapters, proof("new", end + 1)
    )  # what is forgotten reaches no further than what was used


def test_i54_while_daemons_clocks_are_two_minutes_apart_nothing_new_is_taken_for_a_replay(
    store: Store,
) -> None:
    behind = World(store=store)
    ahead = World(store=store, chance=behind.chance)
    now = behind.clock.now()
    use_claims(behind.adapters, [proof(f"before-{one}", now + one) for one in range(-9, 9)])
    ahead.clock.at = Instant(now + SKEW)
    note(ahead, "bob")
    assert sweep_claims(ahead.adapters) > 0
    use_claim(behind.adapters, proof("new", now + 1))
    use_claim(behind.adapters, proof("and at its end", behind.clock.now()))

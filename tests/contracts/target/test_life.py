"""What every target owes of one credential: minted, used, renewed, ended, and told by nobody."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from taskbound.core.clock import Instant, seconds
from taskbound.core.errors import TaskboundError
from taskbound.ports.target import (
    ExpiresAt,
    Gone,
    Minted,
    MintOrder,
    NameTakenError,
    RenewalUnsupportedError,
    TargetUnavailableError,
)
from tests.contracts.target.bench import NOTHING, PATIENCE, Bench, ShutError, end, make, raising, require_over
from tests.peers.minter import PREFIX, fresh_name
from tests.wiring.running import until

LATEST = Instant(seconds(2**31))
"""An end of what nobody knows."""
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")


def is_shut(bench: Bench, minted: Minted) -> bool:
    """Whether nobody is let in with it now."""
    try:
        bench.open(minted).close()
    except ShutError:
        return True
    return False


def test_what_is_minted_is_there_under_its_name_alone_until_it_is_over(bench: Bench) -> None:
    target, name = bench.target(), fresh_name()
    assert target.look(name, patience=PATIENCE) == NOTHING
    assert bench.shows(name) is None
    made = make(bench, target, name=name)
    assert target.look(name, patience=PATIENCE).exists
    assert bench.shows(name) is not None
    assert bench.there() == {name} == set(target.sweep(PREFIX, patience=PATIENCE))
    require_over(bench, made)
    assert bench.there() == set() == set(target.sweep(PREFIX, patience=PATIENCE))


def test_who_was_handed_it_can_use_it_and_so_can_the_broker_which_changes_nothing(bench: Bench) -> None:
    made = make(bench)
    session = bench.open(made.minted)
    assert session.acts()
    session.close()
    before = bench.shows(made.name)
    bench.target().use(made.minted, patience=PATIENCE)
    assert bench.shows(made.name) == before
    require_over(bench, made)
    with raising(bench, TaskboundError):
        bench.target().use(made.minted, patience=PATIENCE)


def test_with_another_secret_it_can_not_be_used(bench: Bench) -> None:
    one, other = make(bench), make(bench)
    mixed = replace(one.minted, secret=other.minted.secret)
    with raising(bench, TaskboundError):
        bench.target().use(mixed, patience=PATIENCE)
    bench.target().use(one.minted, patience=PATIENCE)
    require_over(bench, one)
    require_over(bench, other)


def test_i11_what_may_be_shown_and_what_may_not_are_apart(bench: Bench) -> None:
    one, other = make(bench), make(bench)
    for made in (one, other):
        assert made.minted.secret
        assert all(map(_VARIABLE.fullmatch, [*made.minted.open, *made.minted.secret]))
        assert not set(made.minted.open) & set(made.minted.secret)
        for secret in made.minted.secret.values():
            assert len(secret) >= 32
            assert secret not in repr(made.minted)
            assert not [value for value in made.minted.open.values() if secret in value]
    assert not set(one.minted.secret.values()) & set(other.minted.secret.values())
    require_over(bench, one)
    require_over(bench, other)


def test_i11_neither_the_system_nor_any_process_shows_a_secret(bench: Bench) -> None:
    target = bench.target()
    made = make(bench, target)
    target.use(made.minted, patience=PATIENCE)
    session = bench.open(made.minted)
    for file in [*Path("/proc").glob("[0-9]*/cmdline"), *Path("/proc").glob("[0-9]*/environ")]:
        try:
            shown = file.read_bytes().decode("utf-8", "replace")
        except OSError:
            continue  # it has ended, or is another's
        bench.told.require_none(shown)
    session.close()
    require_over(bench, made)
    log = bench.log()
    assert made.name in log
    bench.told.require_none(log)
    bench.told.require_none(repr((target, vars(target) if hasattr(target, "__dict__") else "", bench.kind)))


def test_a_name_that_is_taken_is_left_as_it_is(bench: Bench) -> None:
    made = make(bench)
    session = bench.open(made.minted)
    before = bench.shows(made.name)
    sooner = MintOrder(name=made.name, ends=Instant(made.ends - seconds(3_600)), context=bench.context)
    for _ in range(2):
        with raising(bench, NameTakenError):
            bench.target().mint(sooner, bench.kind, patience=PATIENCE)
    assert bench.shows(made.name) == before
    assert session.acts()
    bench.target().use(made.minted, patience=PATIENCE)
    session.close()
    require_over(bench, made)


def test_a_look_counts_what_is_open(bench: Bench) -> None:
    made, target = make(bench), bench.target()
    assert target.look(made.name, patience=PATIENCE).open == 0
    sessions = [bench.open(made.minted) for _ in range(2)]
    until(lambda: target.look(made.name, patience=PATIENCE).open == 2, "both are counted")
    for one in sessions:
        one.close()
    until(lambda: target.look(made.name, patience=PATIENCE).open == 0, "nothing is open any more")
    require_over(bench, made)


# --- ends ------------------------------------------------------------------------------------


def test_i03_it_ends_by_itself_within_a_minute_of_its_end(bench: Bench) -> None:
    if not bench.ends_by_itself:
        pytest.skip("the system has no means for it")
    late = make(bench, ends=Instant(bench.now() + seconds(2)))
    other = make(bench)
    until(lambda: is_shut(bench, late.minted), "its end is its last second")
    assert bench.now() <= late.ends + seconds(60)
    assert not is_shut(bench, other.minted)
    require_over(bench, late)
    require_over(bench, other)


def test_i03_what_is_over_before_it_is_made_opens_nothing(bench: Bench) -> None:
    if not bench.ends_by_itself:
        pytest.skip("the system has no means for it")
    past = Instant(bench.now() - seconds(7_200))
    try:
        made = make(bench, ends=past)
    except TaskboundError:
        return
    assert is_shut(bench, made.minted)
    require_over(bench, made)


def test_a_renewal_moves_its_end_and_nothing_else(bench: Bench) -> None:
    made = make(bench)
    before = bench.shows(made.name)
    if not bench.renews:
        with raising(bench, RenewalUnsupportedError):
            bench.target().renew(made.name, Instant(made.ends + seconds(60)), patience=PATIENCE)
        assert bench.shows(made.name) == before
        require_over(bench, made)
        return
    session = bench.open(made.minted)
    bench.target().renew(made.name, Instant(bench.now() - seconds(60)), patience=PATIENCE)
    assert is_shut(bench, made.minted) == bench.ends_by_itself
    bench.target().renew(made.name, made.ends, patience=PATIENCE)
    assert bench.shows(made.name) == before
    assert session.acts()
    bench.target().use(made.minted, patience=PATIENCE)
    session.close()
    require_over(bench, made)


def test_i12_no_renewal_brings_anything_back_or_makes_anything(bench: Bench) -> None:
    made = make(bench)
    require_over(bench, made)
    for name in (made.name, fresh_name()):
        with suppress(TaskboundError):
            bench.target().renew(name, bench.ends, patience=PATIENCE)
        assert bench.shows(name) is None
    assert is_shut(bench, made.minted)


def test_i05_its_end_is_the_same_once_twice_or_a_hundred_times_and_of_what_never_was(bench: Bench) -> None:
    made, target = make(bench), bench.target()
    first = require_over(bench, made)
    for _ in range(100 // bench.slower):
        again = end(target, made.name, made.ends)
        assert type(again) is type(first)
    require_over(bench, made)
    name = fresh_name()
    for _ in range(2):
        assert end(target, name, bench.ends) == Gone(cut=0)
    assert bench.shows(name) is None


def test_it_is_ended_whatever_is_said_of_when_it_would_end_by_itself(bench: Bench) -> None:
    for said in (LATEST, Instant(bench.now() - seconds(3_600)), Instant(bench.now() + seconds(1))):
        made, target = make(bench), bench.target()
        session = bench.open(made.minted)
        found = end(target, made.name, said)
        require_over(bench, made)
        assert isinstance(found, ExpiresAt) or not session.acts()
        session.close()


def test_i04_what_has_ended_by_itself_is_cut_where_it_is_open_still(bench: Bench) -> None:
    if not bench.ends_by_itself:
        pytest.skip("the system has no means for it")
    for wait in (2, 8, 32):
        made = make(bench, ends=Instant(bench.now() + seconds(wait)))
        try:
            session = bench.open(made.minted)
        except ShutError:
            require_over(bench, made)
            continue  # the machine is slower than that
        until(partial(is_shut, bench, made.minted), "its end is its last second")
        found = require_over(bench, made)
        assert isinstance(found, ExpiresAt) or not session.acts()
        session.close()
        return
    pytest.fail("no session could be opened within its time")


def test_what_was_revoked_is_minted_anew_whole_or_not_at_all(bench: Bench) -> None:
    made = make(bench)
    require_over(bench, made)
    try:
        again = make(bench, name=made.name)
    except (NameTakenError, TargetUnavailableError):
        assert bench.shows(made.name) is None
        return
    assert is_shut(bench, made.minted)
    bench.target().use(again.minted, patience=PATIENCE)
    require_over(bench, again)

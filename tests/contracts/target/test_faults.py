"""What every target owes where the system is away, hangs, is another, says no, or a call is cut off."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from taskbound.core.errors import TaskboundError
from taskbound.ports.target import (
    ExpiresAt,
    Gone,
    Minted,
    MintOrder,
    Target,
    TargetRefusedError,
    TargetUnavailableError,
    TargetUnreachedError,
)
from tests.contracts.target.bench import (
    NOTHING,
    PATIENCE,
    Bench,
    ShutError,
    end,
    make,
    raising,
    require_over,
    together,
)
from tests.peers.cutting import How
from tests.peers.impostor import DOES, Does
from tests.peers.minter import PREFIX, fresh_name

_SHORT = 2.0
"""Seconds of patience with what does not answer."""
_OVER = 2.0
"""Seconds by which a machine that is busy may be late."""
_MOST = 20
"""Pieces of a call that is tried to be cut off at each."""
HOWS: tuple[How, ...] = ("before", "after", "stuck")


def calls(bench: Bench, target: Target[Any]) -> dict[str, Callable[[], object]]:
    """Each call of a target that asks the system for something, with little patience."""
    name = fresh_name()
    order = MintOrder(name=name, ends=bench.ends, context=bench.context)
    return {
        "mint": lambda: target.mint(order, bench.kind, patience=_SHORT),
        "look": lambda: target.look(name, patience=_SHORT),
        "revoke": lambda: end(target, name, bench.ends, patience=_SHORT),
        "sweep": lambda: list(target.sweep(PREFIX, patience=_SHORT)),
        "renew": lambda: target.renew(name, bench.ends, patience=_SHORT),
    }


def asked(bench: Bench) -> tuple[str, ...]:
    """The names of these calls, those aside that a target without means refuses before it asks."""
    return ("mint", "look", "revoke", "sweep", *(("renew",) if bench.renews else ()))


def test_f10_where_nobody_is_nothing_was_sent_and_that_is_said(bench: Bench, tmp_path: Path) -> None:
    for name in asked(bench):
        with raising(bench, TargetUnreachedError):
            calls(bench, bench.nobody(tmp_path))[name]()


@pytest.mark.parametrize("does", DOES)
def test_f11_what_hangs_breaks_off_or_is_something_else_has_the_calls_patience(
    bench: Bench, tmp_path: Path, does: Does
) -> None:
    with bench.impostor(tmp_path, does) as target:

        def ask(name: str) -> float:
            begun = time.monotonic()
            with raising(bench, TargetUnavailableError):
                calls(bench, target)[name]()
            return time.monotonic() - begun

        found = together([partial(ask, name) for name in asked(bench)])
    assert not [one for one in found if not isinstance(one, float) or one > _SHORT + _OVER], found


def test_f11_a_call_after_one_that_was_cut_off_is_whole(bench: Bench, tmp_path: Path) -> None:
    made, cut = make(bench), 0
    with bench.cutting(tmp_path) as way:
        target = way.target()
        for how in HOWS:
            way.after(2, how)
            try:
                target.look(made.name, patience=_SHORT)
            except TargetUnavailableError:
                cut += 1
            assert target.look(made.name, patience=PATIENCE).exists
    assert cut >= 1
    require_over(bench, made)


def test_f13_an_admin_access_that_is_known_no_more_makes_nothing_and_is_not_told(bench: Bench) -> None:
    made = make(bench)
    before = bench.shows(made.name)
    for name in asked(bench):
        with raising(bench, TargetUnreachedError, TargetRefusedError):
            calls(bench, bench.wrong())[name]()
    with raising(bench, TargetUnreachedError, TargetRefusedError):
        end(bench.wrong(), made.name, made.ends)
    assert bench.shows(made.name) == before
    assert bench.there() == {made.name}
    require_over(bench, made)


def test_an_admin_access_without_rights_is_refused_and_changes_nothing(bench: Bench) -> None:
    made = make(bench)
    before = bench.shows(made.name)
    with bench.weak() as target:
        if target is not None:
            with raising(bench, TargetRefusedError):
                calls(bench, target)["mint"]()
            with raising(bench, TargetRefusedError):
                end(target, made.name, made.ends)
    assert bench.shows(made.name) == before
    assert bench.there() == {made.name}
    require_over(bench, made)


@pytest.mark.parametrize("how", HOWS)
def test_i01_i02_k5_to_k9_a_mint_that_was_cut_off_anywhere_is_ended_whole(
    bench: Bench, tmp_path: Path, how: How
) -> None:
    cut = 0
    with bench.cutting(tmp_path) as way:
        for piece in bench.pieces or count(1):
            order = MintOrder(name=fresh_name(), ends=bench.ends, context=bench.context)
            made: Minted | None = None
            target = way.target()
            way.after(piece, how)
            try:
                made = target.mint(order, bench.kind, patience=_SHORT)
            except TargetUnavailableError as error:
                cut += 1
                if isinstance(error, TargetUnreachedError):
                    assert bench.shows(order.name) is None
            found = end(bench.target(), order.name, order.ends)
            assert isinstance(found, Gone | ExpiresAt)
            assert bench.target().look(order.name, patience=PATIENCE) == NOTHING
            assert bench.shows(order.name) is None
            if made is not None:
                bench.told.words |= set(made.secret.values())
                break
    assert cut >= bench.cuts[0]


@pytest.mark.parametrize("how", HOWS)
def test_i04_k14_to_k18_a_revocation_that_was_cut_off_anywhere_is_gone_on_with(
    bench: Bench, tmp_path: Path, how: How
) -> None:
    cut, whole = 0, False
    with bench.cutting(tmp_path) as way:
        for piece in bench.pieces or range(1, _MOST):
            made = make(bench)
            session = bench.open(made.minted, bench.shapes[-1])
            target = way.target()
            way.after(piece, how)
            try:
                end(target, made.name, made.ends, patience=_SHORT)
                whole = True
            except TargetUnavailableError as error:
                cut += 1
                acts, unreached = session.acts(), isinstance(error, TargetUnreachedError)
                assert acts or not unreached
                if not acts:  # the door is shut before anybody is shown out of it, and no renewal opens it
                    with suppress(TaskboundError):
                        bench.target().renew(made.name, made.ends, patience=PATIENCE)
                    with pytest.raises(ShutError):
                        bench.open(made.minted)
            if isinstance(require_over(bench, made), Gone):
                assert not session.acts()
            session.close()
            if whole and cut >= bench.cuts[1]:  # one that goes on nevertheless is no last piece
                break
    assert cut >= bench.cuts[1]


@pytest.mark.parametrize("how", HOWS)
def test_i07_what_a_cut_off_call_shows_is_nothing(bench: Bench, tmp_path: Path, how: How) -> None:
    made, cut = make(bench), 0
    with bench.cutting(tmp_path) as way:
        for piece in bench.pieces or count(1):
            target = way.target()
            way.after(piece, how)
            try:
                shown = target.look(made.name, patience=_SHORT)
                names = set(target.sweep(PREFIX, patience=_SHORT))
            except TargetUnavailableError:
                cut += 1
                continue
            assert (shown.exists, names) == (True, {made.name})
            break
    assert cut >= 1
    require_over(bench, made)

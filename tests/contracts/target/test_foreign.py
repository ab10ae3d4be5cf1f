"""What every target owes of what is not ours (I-14)."""

from __future__ import annotations

from taskbound.ports.target import Gone
from tests.contracts.target.bench import PATIENCE, Bench, end, make, require_over
from tests.peers.minter import PREFIX, fresh_name

MANY = 1_000


def test_i14_a_thousand_that_are_not_ours_are_neither_named_nor_touched(bench: Bench) -> None:
    with bench.foreign(MANY) as foreign:
        assert len(foreign.names) == MANY
        before = foreign.state()
        target = bench.target()
        mine = [make(bench, target) for _ in range(3)]
        assert set(target.sweep(PREFIX, patience=PATIENCE)) == {one.name for one in mine}
        for one in mine:
            require_over(bench, one)
        never = fresh_name()
        assert end(target, never, bench.ends) == Gone(cut=0)
        assert set(target.sweep(PREFIX, patience=PATIENCE)) == set()
        assert foreign.state() == before
        assert foreign.session.acts()


def test_i14_a_sweep_of_anothers_prefix_names_nothing_of_ours(bench: Bench) -> None:
    made = make(bench)
    other = PREFIX.replace("abcdefgh", "hgfedcba")
    assert set(bench.target().sweep(other, patience=PATIENCE)) == set()
    assert set(bench.target().sweep(made.name, patience=PATIENCE)) == {made.name}
    require_over(bench, made)

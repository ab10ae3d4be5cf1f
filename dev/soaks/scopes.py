"""Pairs of scopes that are near each other, and calls of scopes, on all processors (I-08, I-18)."""

from __future__ import annotations

import multiprocessing
import os
from typing import Final

from dev.soaks.found import Found
from tests.core.scope.compared import compare
from tests.core.scope.replay import CALLS, search_kin

_BATCH: Final = 20_000
"""Pairs that a process compares before it says so; of calls five times as many."""
_APART: Final = 2**20
"""Seeds from one batch to the next: more than a batch uses."""
_CONTEXT: Final = multiprocessing.get_context("spawn")


def soak_covers(count: int, seed: int) -> Found:
    """At least so many pairs; calls that a covered child pays are paid by shares of its parent."""
    size = min(count, _BATCH)
    firsts = [(seed << 44) + number * _APART for number in range(-(-count // size))]
    compared = covered = 0
    with _CONTEXT.Pool(os.cpu_count()) as workers:
        for some, of_these in workers.imap_unordered(_search, [(first, size) for first in firsts]):
            compared += some
            covered += of_these
            if compared // 1_000_000 != (compared - some) // 1_000_000:
                print(f"covers: {compared:,} pairs", flush=True)
    calls = f"{CALLS} calls of each that is covered"
    return Found(counted=f"{compared:,} pairs, {covered:,} covered, {calls}, no counterexample")


def _search(batch: tuple[int, int]) -> tuple[int, int]:
    return search_kin(*batch)


def soak_cover(count: int, seed: int) -> Found:
    """At least so many calls of scopes: they are covered and charged as the rules, written anew, say."""
    size = min(count, _BATCH * 5)
    firsts = [(seed << 44) + number * _APART for number in range(-(-count // size))]
    compared = covered = 0
    with _CONTEXT.Pool(os.cpu_count()) as workers:
        for some, of_these in workers.imap_unordered(_compare, [(first, size) for first in firsts]):
            compared += some
            covered += of_these
            if compared // 1_000_000 != (compared - some) // 1_000_000:
                print(f"cover: {compared:,} calls", flush=True)
    return Found(counted=f"{compared:,} calls, {covered:,} covered, no difference")


def _compare(batch: tuple[int, int]) -> tuple[int, int]:
    return compare(*batch)

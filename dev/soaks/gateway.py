"""Crowds before the gateway: the harness of `tests/surfaces/gateway/crowd`, run longer."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from dev.soaks.found import Found
from tests.surfaces.gateway.crowd.crossing import interleave
from tests.surfaces.gateway.crowd.soak import Plan, crowd

_MIB = 1 << 20


def soak_gateway(count: int, seed: int) -> Found:
    """So many calls of 200 clients; servers are killed, readers are slow, and some answers have no end."""
    plan = Plan(calls=count, seed=seed)
    with tempfile.TemporaryDirectory(prefix="tb-") as folder:
        seen = asyncio.run(crowd(Path(folder), plan))
    states = ", ".join(f"{state} {times:,}" for state, times in seen.states.most_common())
    memory = ", ".join(
        f"{name} {held.resident // _MIB:,} MiB ({seen.halves[0].get(name, 0) // _MIB:,} in the first half)"
        for name, held in sorted(seen.most.items())
    )
    front, most, after = seen.before, seen.most["front"], seen.after
    return Found(
        counted=(
            f"{seen.states.total():,} calls of {plan.clients} clients, {plan.clients - plan.pipes} of them"
            f" over HTTP with {plan.tokens} tokens of one front, {plan.pipes} over pipes: {states};"
            f" {seen.killed:,} servers killed, {seen.cut:,} connections cut, {seen.floods:,} answers of"
            f" {plan.flood / 1e9:.1f} GB, {seen.slow:,} of {plan.size // _MIB} MiB read slowly;"
            f" at most resident: {memory}; processes and descriptors of the front: {front.beneath} and"
            f" {front.descriptors} before, {most.beneath} and {most.descriptors} at the most,"
            f" {after.beneath} and {after.descriptors} after"
        )
    )


def soak_interleavings(count: int, seed: int) -> Found:
    """So many rounds of two clients with equal ids, in every way, over two tasks."""
    with tempfile.TemporaryDirectory(prefix="tb-") as folder:
        told = asyncio.run(interleave(Path(folder), count, seed))
    ways = ", ".join(f"{ways} {times:,}" for ways, times in sorted(told.ways.items()))
    cancelled = told.cancelled["answered"] + told.cancelled["not answered"]
    return Found(
        counted=(
            f"{told.rounds:,} interleavings, {told.calls:,} calls, {cancelled:,} of them cancelled and"
            f" {told.cancelled['answered']:,} of these answered first, {told.unsent:,} not sent,"
            f" no answer crossed ({ways})"
        )
    )

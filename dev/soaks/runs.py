"""The soaks that need nothing but this process: documents, logs, clocks."""

from __future__ import annotations

import random
from typing import Final

import rfc8785

from dev.soaks.documents import nearly_json, value
from dev.soaks.found import Found
from taskbound.adapters.clock.system import SystemClock
from taskbound.core.action import canonical, parse_document
from taskbound.core.clock import Instant
from taskbound.core.errors import MalformedError
from tests.adapters.policy.whole import require_alike, seeded
from tests.core.audit.logs import long_log
from tests.core.audit.mutations import require_each_found

RECORDS: Final = 10_000
_SECOND: Final = 1_000_000_000
_DAY: Final = 86_400 * _SECOND
_JUMPS: Final = (-_DAY, 365 * _DAY, -365 * _DAY, -_SECOND, _SECOND, 0)


def soak_canonical(count: int, seed: int) -> Found:
    """Random values, encoded by `canonical` and by the `rfc8785` package, and read back."""
    chance = random.Random(seed)  # noqa: S311 - a course of events that can be repeated
    size = 0
    for number in range(count):
        document = value(chance)
        ours = canonical(document)
        if ours != rfc8785.dumps(document):
            raise AssertionError(f"document {number} of seed {seed} is written in two ways: {ours!r}")
        if canonical(parse_document(ours)) != ours:
            raise AssertionError(f"document {number} of seed {seed} is not read back: {ours!r}")
        size += len(ours)
    return Found(counted=f"{count:,} documents, {size / 1e6:,.0f} MB")


def soak_policy(count: int, seed: int) -> Found:
    """Random bundles and requests: our engine, plain cedarpy over the whole set, and the plain rules."""
    counted = {"compared": 0, "untold": 0}
    bundles = 0
    while counted["compared"] < count:
        for name, times in require_alike(seeded(seed * 1_000_000_007 + bundles), 10).items():
            counted[name] += times
        bundles += 1
    return Found(counted=f"{counted['compared']:,} requests over {bundles:,} bundles, no difference")


def soak_parser(count: int, seed: int) -> Found:
    """Random bytes that are nearly JSON: one value that is read back as itself, or a named error."""
    chance = random.Random(seed)  # noqa: S311 - a course of events that can be repeated
    refused: dict[str, int] = {}
    read = 0
    for number in range(count):
        raw = nearly_json(chance)
        try:
            found = parse_document(raw)
        except MalformedError as error:
            refused[error.code] = refused.get(error.code, 0) + 1
            continue
        except Exception as error:
            error.add_note(f"document {number} of seed {seed}: {raw!r}")
            raise
        if parse_document(canonical(found)) != found:
            raise AssertionError(f"document {number} of seed {seed} is not read back: {raw!r}")
        read += 1
    kinds = ", ".join(f"{code} {times:,}" for code, times in sorted(refused.items(), key=lambda one: -one[1]))
    return Found(counted=f"{count:,} documents: {read:,} read, {count - read:,} refused ({kinds})")


def soak_mutation(count: int, seed: int) -> Found:
    """Every way to tamper with so many of the records of a log, whose checkpoint covers all of them."""
    log = long_log(RECORDS)
    chance = random.Random(seed)  # noqa: S311 - a course of events that can be repeated
    chosen = sorted({0, 1, RECORDS - 2, RECORDS - 1, *chance.sample(range(RECORDS), max(count - 4, 0))})
    tried = require_each_found(log.records, log.notes, chosen)
    return Found(counted=f"{tried:,} tamperings with {len(chosen):,} of {RECORDS:,} records, each found")


def soak_clock(count: int, seed: int) -> Found:
    """The wall clock jumps a day back, a year forward and back, at random, while the steady clock goes on."""
    chance = random.Random(seed)  # noqa: S311 - a course of events that can be repeated
    wall, steady, jumps = [1_800_000_000 * _SECOND], [0], 0
    clock = SystemClock(Instant(0), wall=lambda: wall[0], elapsed=lambda: steady[0])
    last, since = clock.now(), 0
    for number in range(count):
        passed = chance.randrange(_SECOND)
        jump = chance.choice(_JUMPS) if chance.random() < 1 / 10 else 0
        jumps += jump != 0
        steady[0] += passed
        wall[0] += passed + jump
        now = clock.now()
        since += passed
        if now < last + passed // 1000:
            raise AssertionError(f"step {number} of seed {seed}: less time passed than the steady clock says")
        last = now
    return Found(counted=f"{count:,} readings over {since / _DAY:,.1f} days, {jumps:,} jumps")

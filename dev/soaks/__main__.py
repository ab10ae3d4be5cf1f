"""Runs the soaks and writes the page; see `--help`."""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

from dev.soaks.approvals import soak_approvals
from dev.soaks.contract import soak_contract
from dev.soaks.credentials import KINDS, soak_credentials
from dev.soaks.ends import soak_ends
from dev.soaks.failing import soak_failing
from dev.soaks.feed import soak_feed
from dev.soaks.found import PAGE, Report, write_page
from dev.soaks.gateway import soak_gateway, soak_interleavings
from dev.soaks.hung import soak_hung
from dev.soaks.injection import soak_injection
from dev.soaks.kills import soak_kills
from dev.soaks.many import soak_many
from dev.soaks.network import soak_network
from dev.soaks.pairs import soak_pairs
from dev.soaks.races import soak_races
from dev.soaks.runs import soak_canonical, soak_clock, soak_mutation, soak_parser, soak_policy
from dev.soaks.scopes import soak_cover, soak_covers
from dev.soaks.sheets import soak_sheet
from dev.soaks.stores import soak_histories

if TYPE_CHECKING:
    from collections.abc import Callable

    from dev.soaks.found import Found


@dataclass(frozen=True, slots=True, kw_only=True)
class Soak:
    """A soak by its name: how much of it is a whole run, and what must hold."""

    run: Callable[[int, int], Found]
    count: int
    holds: str


SOAKS: Final = {
    "approvals": Soak(
        run=soak_approvals,
        count=1_000_000,
        holds="of all that would use an approval one does or none, and none after it ended (I-29, A179)",
    ),
    "canonical": Soak(
        run=soak_canonical,
        count=1_000_000,
        holds="our canonical bytes are those of the `rfc8785` package, and are read back as themselves",
    ),
    "clock": Soak(
        run=soak_clock,
        count=1_000_000,
        holds="however a clock is set, no reading is less than the last one and the time that passed",
    ),
    "contract": Soak(
        run=soak_contract,
        count=1,
        holds="a Valkey holds the whole contract of targets, of which CI holds a Redis to all of it",
    ),
    "cover": Soak(
        run=soak_cover,
        count=10_000_000,
        holds="a call is covered and charged as the rules written a second time say (I-18)",
    ),
    "covers": Soak(
        run=soak_covers,
        count=10_000_000,
        holds="what `covers` says is covered permits no call that no share of its parent permits (I-08)",
    ),
    "credential-ends": Soak(
        run=soak_ends,
        count=200,
        holds="a task's end cuts its session: p50 250 ms, p99 2 s, max 5 s; a dead target delays none (I-59)",
    ),
    "credential-injection": Soak(
        run=soak_injection,
        count=500,
        holds="whatever is killed and when: what lives has its server, the rest is gone in 30 s (K10, K12)",
    ),
    "credential-many": Soak(
        run=soak_many,
        count=10_000,
        holds="10,000 live: served in 5 s, 16 MiB over 100 at most; revoked, decisions twice as slow at most",
    ),
    "credential-pairs": Soak(
        run=soak_pairs,
        count=8,
        holds="a daemon is killed with its broker: the other two end what these had in hand in 15 s (T2)",
    ),
    **{
        f"credentials-{kind}": Soak(
            run=partial(soak_credentials, kind),
            count=112,
            holds="whatever is killed and when, nothing is without a row, all is gone in 30 s (I-01, I-02)",
        )
        for kind in KINDS
    },
    "failing": Soak(
        run=soak_failing,
        count=7,
        holds="an error anywhere on the way of a decision permits nothing, and leaves nothing wrong (I-19)",
    ),
    "feed": Soak(
        run=soak_feed,
        count=100_000,
        holds="8 writers out of order, two daemons, readers cut off: nothing revoked is missed (T7, K20)",
    ),
    "gateway": Soak(
        run=soak_gateway,
        count=100_000,
        holds="200 clients at once: memory is bounded, nothing is left behind, every call is accounted for",
    ),
    "hung": Soak(
        run=soak_hung,
        count=600,
        holds="a daemon that hung for ten minutes with calls in flight acts on nothing of before (I-55, F19)",
    ),
    "histories": Soak(
        run=soak_histories,
        count=10_000,
        holds="two daemons over SQLite or PostgreSQL answer and record the same, to the byte",
    ),
    "interleavings": Soak(
        run=soak_interleavings,
        count=10_000,
        holds="two clients with equal ids, over HTTP and pipes, in both eras: no answer crosses",
    ),
    "kill": Soak(
        run=soak_kills,
        count=2_000,
        holds="after kill -9 nothing acknowledged is lost, no limit passed, no chain broken (I-46)",
    ),
    "mutation": Soak(
        run=soak_mutation,
        count=100,
        holds="every tampering with a log of 10,000 records is found with its checkpoint (I-47)",
    ),
    "network": Soak(
        run=soak_network,
        count=20,
        holds="schemathesis, with a person's token, finds nothing in any route: no 5xx, nothing undescribed",
    ),
    "parser": Soak(
        run=soak_parser,
        count=1_000_000,
        holds="bytes are one value that is written and read back as itself, or one named error",
    ),
    "policy": Soak(
        run=soak_policy,
        count=100_000,
        holds="the engine names what plain cedarpy names over a whole set; the plain rules agree (I-16)",
    ),
    "race": Soak(
        run=soak_races,
        count=1_000,
        holds="64 callers through two gateways of a real daemon get as many permits as there are uses",
    ),
    "sheet": Soak(
        run=soak_sheet,
        count=1_000_000,
        holds="what an approver sees of an action is read back as that action, byte for byte (I-32, I-33)",
    ),
}

_FAMILIES: Final = {"credentials": tuple(name for name in SOAKS if name.startswith("credentials-"))}
"""Soaks that are one in several parts, each with a row of its own."""


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="dev/soak", description="long runs, and docs/soaks.md")
    parser.add_argument(
        "--only", choices=sorted({*SOAKS, *_FAMILIES}), action="append", default=[], help="this one"
    )
    parser.add_argument("--count", type=int, default=0, help="so many, instead of a whole run")
    parser.add_argument("--seed", type=int, default=1, help="another course of events")
    told = parser.parse_args()
    for name in [one for asked in told.only or sorted(SOAKS) for one in _FAMILIES.get(asked, (asked,))]:
        soak = SOAKS[name]
        began, processor = time.perf_counter(), _processor()
        found = soak.run(told.count or soak.count, told.seed)
        report = Report(
            name=name,
            holds=soak.holds,
            counted=found.counted,
            seconds=time.perf_counter() - began,
            processor=_processor() - processor,
            seed=told.seed,
            date=datetime.now(UTC).strftime("%Y-%m-%d"),
        )
        print(f"{name}: {report.counted} in {report.seconds:.0f} s")
        write_page([report], known=SOAKS)
    print(f"written to {PAGE}")


def _processor() -> float:
    """Seconds of the processor that this process and its own ended children took."""
    return sum(os.times()[:4])


if __name__ == "__main__":
    main()

"""Runs the measurements and writes the page; see `--help`."""

from __future__ import annotations

import argparse
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from dev.benchmarks.actions import measure_actions
from dev.benchmarks.canonical import measure_canonical
from dev.benchmarks.certificate import measure_certificate
from dev.benchmarks.credential import measure_credential
from dev.benchmarks.decision import measure_decision
from dev.benchmarks.durable import measure_durable, measure_large
from dev.benchmarks.evaluation import measure_evaluation
from dev.benchmarks.feed import measure_feed
from dev.benchmarks.gateway import measure_gateway
from dev.benchmarks.guarded import measure_guarded
from dev.benchmarks.machine import describe_load, describe_machine
from dev.benchmarks.operations import measure_operations
from dev.benchmarks.page import PAGE, write_page
from dev.benchmarks.policy import measure_policy
from dev.benchmarks.population import measure_population
from dev.benchmarks.postgres import measure_postgres
from dev.benchmarks.scope import measure_scope
from dev.benchmarks.service import measure_service
from dev.benchmarks.start import measure_start
from dev.benchmarks.token import measure_token
from dev.benchmarks.transports import measure_transports
from dev.benchmarks.user import measure_user
from dev.benchmarks.verify import measure_verify
from tests.sqlite import closing_stores

if TYPE_CHECKING:
    from collections.abc import Callable

    from dev.benchmarks.page import Section

SECTIONS: dict[str, Callable[..., Section]] = {
    "actions": measure_actions,
    "canonical": measure_canonical,
    "certificate": measure_certificate,
    "credential": measure_credential,
    "decision": measure_decision,
    "policy": measure_policy,
    "operations": measure_operations,
    "durable": measure_durable,
    "large": measure_large,
    "evaluation": measure_evaluation,
    "feed": measure_feed,
    "gateway": measure_gateway,
    "guarded": measure_guarded,
    "memory": measure_population,
    "postgres": measure_postgres,
    "scope": measure_scope,
    "service": measure_service,
    "startup": measure_start,
    "token": measure_token,
    "transports": measure_transports,
    "user": measure_user,
    "verify": measure_verify,
}
FULL = frozenset({"large"})


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(prog="dev/bench", description="measures, and writes docs/benchmarks.md")
    parser.add_argument("--quick", action="store_true", help="short turns: a look, not a report")
    parser.add_argument("--full", action="store_true", help="also what takes minutes")
    parser.add_argument("--only", choices=sorted(SECTIONS), action="append", default=[], help="this section")
    told = parser.parse_args()
    chosen = told.only or [one for one in SECTIONS if told.full or one not in FULL]
    date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    machine = describe_machine(Path(tempfile.gettempdir()))
    taken = {"date": date, "mode": "quick" if told.quick else "whole", "load": describe_load()}
    taken["processor"] = machine["processor"]
    found: list[Section] = []
    for name in chosen:
        began = time.perf_counter()
        with closing_stores():
            section = SECTIONS[name](quick=told.quick)
        found.append(section)
        print(f"{name}: {time.perf_counter() - began:.0f} s")
        for table in section.tables:
            for row in (table.head, *table.rows):
                print("   ", " | ".join(row))
        write_page(found, machine, taken)
    print(f"written to {PAGE}")


if __name__ == "__main__":
    main()

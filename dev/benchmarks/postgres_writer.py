"""One process that writes decisions to PostgreSQL as fast as it can: ours, or the bare commit shape.

`python -m dev.benchmarks.postgres_writer KIND URL TASK GROUP SECONDS` says `ready`, waits for a line, and
prints decisions, seconds and CPU seconds.
"""

from __future__ import annotations

import itertools
import os
import secrets
import sys
import time
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg.raw_cursor import RawCursor

from dev.benchmarks.ground import Ground, call_of
from dev.benchmarks.sampling import percentile
from taskbound.adapters.store.postgres import PostgresStore
from taskbound.adapters.store.postgres.server.link import write_bytes, write_texts, write_wholes
from taskbound.core.decision import Permit, Settled

if TYPE_CHECKING:
    from collections.abc import Callable


_TABLES: Final = """
    CREATE TABLE IF NOT EXISTS public.bare_tasks (id text PRIMARY KEY, state text NOT NULL);
    CREATE TABLE IF NOT EXISTS public.bare_counters (id text PRIMARY KEY, uses bigint NOT NULL);
    CREATE TABLE IF NOT EXISTS public.bare_actions (number bigserial PRIMARY KEY, id text UNIQUE, body bytea);
    CREATE TABLE IF NOT EXISTS public.bare_records (number bigserial PRIMARY KEY, body bytea);
    INSERT INTO public.bare_tasks VALUES ('tsk', 'running') ON CONFLICT DO NOTHING;
    INSERT INTO public.bare_counters VALUES ('g0', 2000000000) ON CONFLICT DO NOTHING;
"""
_LOCK_TASK: Final = "SELECT state FROM public.bare_tasks WHERE id = ANY($1::text[]) ORDER BY id FOR SHARE"
_LOCK_COUNTER: Final = (
    "SELECT id, uses FROM public.bare_counters WHERE id = ANY($1::text[]) ORDER BY id FOR NO KEY UPDATE"
)
_TAKE: Final = """
    UPDATE public.bare_counters c SET uses = n.after FROM unnest($1::text[], $2::bigint[]) AS n (id, after)
    WHERE c.id = n.id
"""
_ACTIONS: Final = "INSERT INTO public.bare_actions (id, body) SELECT * FROM unnest($1::text[], $2::bytea[])"
_RECORDS: Final = "INSERT INTO public.bare_records (body) SELECT * FROM unnest($1::bytea[])"
_BYTES: Final = 700


def main() -> None:
    """Write until the time is over."""
    kind, url, task, group, seconds = sys.argv[1:]
    decide = _bare(url, int(group)) if kind == "bare" else _ours(url, task, int(group))
    for _ in range(20):
        decide()
    print("ready", flush=True)
    sys.stdin.readline()
    began, processor, done = time.perf_counter(), time.process_time(), 0
    each: list[float] = []
    while (start := time.perf_counter()) - began < float(seconds):
        decide()
        each.append(time.perf_counter() - start)
        done += int(group)
    took = time.perf_counter() - began
    half, most = percentile(each, 0.5), percentile(each, 0.99)
    print(done, took, time.process_time() - processor, half, most, flush=True)


def _bare(url: str, group: int) -> Callable[[], None]:
    connection = psycopg.connect(url, autocommit=True, cursor_factory=RawCursor, prepare_threshold=0)
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(1)")
        connection.execute(_TABLES, prepare=False)
    body = os.urandom(_BYTES)
    prefix, numbers = os.urandom(8).hex(), itertools.count()

    def decide() -> None:
        with connection.pipeline():
            connection.execute("BEGIN")
            connection.execute(_LOCK_TASK, ("{tsk}",))
            counter = connection.execute(_LOCK_COUNTER, ("{g0}",))
        (row,) = counter.fetchall()
        names = [f"{prefix}{next(numbers)}" for _ in range(group)]
        with connection.pipeline():
            connection.execute(_TAKE, ("{g0}", write_wholes([row[1] - group])))
            connection.execute(_ACTIONS, (write_texts(names), write_bytes([body] * group)))
            connection.execute(_RECORDS, (write_bytes([body] * group),))
            connection.execute("COMMIT")

    return decide


def _ours(url: str, task: str, group: int) -> Callable[[], None]:
    ground = Ground.over(PostgresStore(url))
    numbers, connection = itertools.count(secrets.randbelow(1_900_000_000)), f"con_{secrets.token_hex(8)}"

    def decide() -> None:
        calls = [
            call_of(
                task,
                {"amount": number, "to": "bob"},
                request=str(number),
                connection=connection,
            )
            for number in itertools.islice(numbers, group)
        ]
        for one in ground.decisions.decide(calls):
            if not (isinstance(one, Settled) and isinstance(one.decision, Permit)):
                raise RuntimeError(f"a call was not permitted: {one}")  # noqa: TRY004 - a wrong answer

    return decide


if __name__ == "__main__":
    main()

"""A program of an agent's that counts orders, with a credential of the task that it is told.

counting.py TASK
"""

from __future__ import annotations

import sys

import psycopg

from taskbound.wiring.joining import join


def main(task: str) -> None:
    with (
        join(agent="helper", task=task) as mine,
        mine.credential("orders-db", "reader", 30) as one,
        psycopg.connect(
            host=one.open["PGHOST"],
            dbname=one.open["PGDATABASE"],
            user=one.open["PGUSER"],
            password=one.secret["PGPASSWORD"],
        ) as there,
    ):
        found = there.execute("SELECT count(*) FROM orders").fetchone()
        sys.stdout.write(f"{found[0] if found else None}\n")


if __name__ == "__main__":
    main(sys.argv[1])

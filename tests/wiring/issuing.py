"""A daemon's flows that issue two tokens, and are killed at a named step of the second."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from taskbound.adapters.store.sql import SqlStore
from tests.token_world import TokenWorld


def main(folder: Path, point: str) -> None:
    """Issue, and be killed there."""
    armed: list[bool] = []

    def at(where: str) -> None:
        if armed and where == point:
            os.kill(os.getpid(), signal.SIGKILL)

    world = TokenWorld(SqlStore(folder / "t.db", reserve=0, at=at), folder)
    task = world.settle_in()
    sys.stdout.write(f"{world.issue(task).text}\n")
    sys.stdout.flush()
    armed.append(True)
    text = world.issue(task).text
    at("signed")
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])

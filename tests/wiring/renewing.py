"""A daemon's flows that renew an agent's key, and are killed at a named step of that."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from taskbound.adapters.keys.file import AgentKeyFiles
from taskbound.adapters.store.sql import SqlStore
from taskbound.flows.identity.agent import AgentKeys
from tests.world import ANN, World

AUDIENCE = "https://taskbound.example.com"


class Custody(AgentKeyFiles):
    """The signer's files, which says when it has made a key and is told to destroy one."""

    armed: bool = False

    def step(self, where: str) -> None:
        if self.armed and where == sys.argv[2]:
            os.kill(os.getpid(), signal.SIGKILL)

    def make_key(self, namespace: str, agent: str) -> bytes:
        made = super().make_key(namespace, agent)
        self.step("made")
        return made

    def forget_key(self, kid: str) -> None:
        self.step("forgetting")
        super().forget_key(kid)
        self.step("forgotten")


def main(folder: Path) -> None:
    """Make a key, renew it, and be killed there."""
    files = Custody(folder, now=lambda: 1_800_000_000.0)
    world = World(store=SqlStore(folder / "k.db", reserve=0, at=files.step))
    world.settle_in()
    keys = AgentKeys(world.adapters, files, audience=AUDIENCE)
    sys.stdout.write(f"{keys.renew('default', 'coder', actor=ANN, owns=False).kid}\n")
    sys.stdout.flush()
    files.armed = True
    keys.renew("default", "coder", actor=ANN, owns=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from taskbound.adapters.keys.file import AgentKeyFiles
from taskbound.adapters.store.sql import SqlStore
from taskbound.core.identity.proof import WorkloadKind
from taskbound.core.identity.selector import Credential
from taskbound.flows.identity.agent import AgentKeys
from taskbound.flows.identity.workload import AssertionVerifier, Proofs
from tests.wiring.renewing import AUDIENCE
from tests.world import ANN, World, WorldChance

ROOT = Path(__file__).parents[2]
BEFORE = ["made", "written", "before-commit"]
AFTER = ["after-commit", "forgetting", "forgotten"]


@pytest.mark.parametrize("point", [*BEFORE, *AFTER])
def test_i46_a_daemon_that_is_killed_while_it_renews_a_key_leaves_one_that_counts_and_has_its_private_half(
    tmp_path: Path, point: str
) -> None:
    command = [sys.executable, "-m", "tests.wiring.renewing", str(tmp_path), point]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    (first,) = ended.stdout.split()

    files = AgentKeyFiles(tmp_path, now=lambda: 1_800_000_000.0)
    later = WorldChance()
    assert [later.name("wrt") for _ in range(1000)]  # names of a later start
    world = World(store=SqlStore(tmp_path / "k.db", reserve=0), chance=later)
    keys = AgentKeys(world.adapters, files, audience=AUDIENCE)
    proofs = Proofs(world.adapters, {WorkloadKind.KEY: AssertionVerifier(world.adapters, audience=AUDIENCE)})
    with world.store.read() as snapshot:
        (standing,) = [
            one.kid for one in snapshot.workloads.agent_keys("default", "coder") if one.ended is None
        ]
    assert (standing == first) is (point in BEFORE)
    shown = Credential(kind=WorkloadKind.KEY, raw=keys.assertion("default", "coder").encode())
    assert proofs.prove("default", shown).name == "coder"

    made = keys.renew("default", "coder", actor=ANN, owns=False)
    kept = {one.name for one in (tmp_path / "agents").iterdir()}
    unknown = kept - {made.kid, standing, first}
    assert made.kid in kept
    assert standing not in kept
    assert first not in kept  # also where nobody was told to destroy it then
    assert len(unknown) == (1 if point in BEFORE else 0)  # nothing believes what was never written down
    world.store.close()

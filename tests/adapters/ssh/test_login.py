from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskbound.adapters.ssh import serve_agent
from taskbound.core.clock import Instant
from tests.adapters.ssh.keys import ACCOUNT, Pair, admitted
from tests.peers.sshd import Sshd, running


@pytest.fixture(scope="module")
def host() -> Iterator[Sshd]:
    with running() as one:
        yield one


def login(host: Sshd, agent: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """What a command over ssh says, with a key of this agent alone."""
    words = ["ssh", "-F", "none", "-p", str(host.port), "-o", f"IdentityAgent={agent}", "-o", "BatchMode=yes"]
    known = ["-o", f"UserKnownHostsFile={host.folder}/known", "-o", "StrictHostKeyChecking=yes"]
    return subprocess.run(
        [*words, *known, *more, f"{ACCOUNT}@127.0.0.1", "echo in"],
        env={"PATH": os.environ["PATH"]},
        stdin=subprocess.DEVNULL,
        check=False,
        capture_output=True,
        text=True,
        timeout=40,
    )


def only(pair: Pair) -> tuple[str, ...]:
    """The way in which ssh takes one certificate out of an agent, and nothing else."""
    return ("-o", "IdentitiesOnly=yes", "-o", f"IdentityFile={pair.certificate_file}")


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa-384", "rsa-2048"])
def test_a_certificate_of_the_agent_opens_a_host_with_no_private_key_in_any_file(
    tmp_path: Path, host: Sshd, kind: str
) -> None:
    pair = admitted(host, tmp_path, kind)
    with serve_agent(pair.private, pair.certificate) as agent:
        pair.file.unlink()
        done = login(host, agent, *only(pair))
        assert (done.returncode, done.stdout) == (0, "in\n"), done.stderr


def test_who_says_nothing_of_a_certificate_is_offered_what_the_agent_has(tmp_path: Path, host: Sshd) -> None:
    pair = admitted(host, tmp_path)
    with serve_agent(pair.private, pair.certificate) as agent:
        done = login(host, agent)
        assert (done.returncode, done.stdout) == (0, "in\n"), done.stderr


def test_neither_the_key_without_its_certificate_nor_one_that_ended_opens_a_host(
    tmp_path: Path, host: Sshd
) -> None:
    pair = admitted(host, tmp_path)
    with serve_agent(pair.private) as agent:
        assert "Permission denied" in login(host, agent).stderr
    with serve_agent(pair.private, pair.certificate, ends=Instant(1)) as agent:
        pair.file.unlink()
        assert "Permission denied" in login(host, agent, *only(pair)).stderr

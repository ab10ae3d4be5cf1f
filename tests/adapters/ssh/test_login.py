from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

import pytest

from taskbound.adapters.ssh import serve_agent
from taskbound.core.clock import Instant
from tests.adapters.ssh.keys import Pair, keygen, make_pair

ACCOUNT = pwd.getpwuid(os.getuid()).pw_name


def host(folder: Path) -> str:
    """A command that is a host for one connection: whoever the folder's CA certified may log in."""
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd starts in no other way as root
    keygen("-t", "ed25519", "-N", "", "-f", str(folder / "host"))
    (folder / "known").write_text(f"* {(folder / 'host.pub').read_text()}")
    (folder / "sshd_config").write_text(
        f"HostKey {folder}/host\nTrustedUserCAKeys {folder}/ca.pub\nAuthorizedKeysFile none\n"
        "UsePAM no\nStrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        "PermitRootLogin yes\nPidFile none\n"
    )
    return f"/usr/sbin/sshd -i -f {folder}/sshd_config"


def login(folder: Path, agent: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """What a command over ssh says, with a key of this agent alone."""
    words = ["ssh", "-F", "none", "-o", f"ProxyCommand={host(folder)}", "-o", f"IdentityAgent={agent}"]
    known = ["-o", f"UserKnownHostsFile={folder}/known", "-o", "StrictHostKeyChecking=yes"]
    return subprocess.run(
        [*words, *known, "-o", "BatchMode=yes", *more, f"{ACCOUNT}@host", "echo in"],
        env={"PATH": os.environ["PATH"]},
        check=False,
        capture_output=True,
        text=True,
    )


def only(pair: Pair) -> tuple[str, ...]:
    """The way in which ssh takes one certificate out of an agent, and nothing else."""
    return ("-o", "IdentitiesOnly=yes", "-o", f"IdentityFile={pair.certificate_file}")


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa-384", "rsa-2048"])
def test_a_certificate_of_the_agent_opens_a_host_with_no_private_key_in_any_file(
    tmp_path: Path, kind: str
) -> None:
    pair = make_pair(tmp_path, kind, principal=ACCOUNT)
    with serve_agent(pair.private, pair.certificate) as agent:
        pair.file.unlink()
        done = login(tmp_path, agent, *only(pair))
        assert (done.returncode, done.stdout) == (0, "in\n"), done.stderr


def test_who_says_nothing_of_a_certificate_is_offered_what_the_agent_has(tmp_path: Path) -> None:
    pair = make_pair(tmp_path, principal=ACCOUNT)
    with serve_agent(pair.private, pair.certificate) as agent:
        done = login(tmp_path, agent)
        assert (done.returncode, done.stdout) == (0, "in\n"), done.stderr


def test_neither_the_key_without_its_certificate_nor_one_that_ended_opens_a_host(tmp_path: Path) -> None:
    pair = make_pair(tmp_path, principal=ACCOUNT)
    with serve_agent(pair.private) as agent:
        assert "Permission denied" in login(tmp_path, agent).stderr
    (tmp_path / "host").unlink()
    with serve_agent(pair.private, pair.certificate, ends=Instant(1)) as agent:
        pair.file.unlink()
        assert "Permission denied" in login(tmp_path, agent, *only(pair)).stderr

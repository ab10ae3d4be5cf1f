from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from taskbound.wiring.home import find_socket
from tests.peers.openssh import make_key

if TYPE_CHECKING:
    from pathlib import Path

    from tests.surfaces.cli.installation import Installation

RULE = """
@id("own:fresh") @hold("step-up:mfa@300")
forbid (principal, action == Taskbound::Action::"fs__write", resource);
"""
AGENT = """
import sys
from pathlib import Path
import msgspec
from taskbound import __version__
from taskbound.sdk.client import Client
from taskbound.wire.action import Decide, Refused
from taskbound.wire.connection import Open
client = Client(Path(sys.argv[1]), Open(role="gateway", version=__version__, agent="helper"))
asked = Decide(tool="fs__write", arguments=msgspec.Raw(b'{"path":"/a"}'), request="1")
print(client.ask(asked, Refused).action, flush=True)
sys.stdin.readline()
"""


def test_a_yes_that_needs_a_sign_in_is_refused_before_anybody_has_signed(
    fresh: Installation, tmp_path: Path
) -> None:
    fresh.prepare()
    assert fresh("person", "demo", "begin").status == 0
    key = str(make_key(tmp_path, name="alice"))
    assert fresh("person", "key", "add", key).status == 0
    issuer = ("--for", "people", "--issuer", "https://id.example.com", "--audience", "taskbound")
    added = fresh("agent", "issuer", "add", "corp", *issuer)
    assert added.status == 0, added.err
    linked = fresh("person", "account", "link", "alice", "--issuer", "corp", "--subject", "s1")
    assert linked.status == 0, linked.err
    rules = fresh.project / "rules"
    rules.mkdir()
    (rules / "own.cedar").write_text(RULE, encoding="utf-8")
    digest = fresh("policy", "propose", "rules", "--json").document["digest"]
    assert fresh("policy", "activate", digest).status == 0
    task = fresh.start_task(scope=fresh.scope({"tool": "fs__write", "others": "any"}))
    steps = tmp_path / "steps.json"
    steps.write_text(json.dumps([{"tool": "fs__write", "arguments": {"path": one}} for one in ("/b", "/c")]))
    command = [sys.executable, "-c", AGENT, str(find_socket(fresh.home))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as agent:
        assert agent.stdout is not None
        action = agent.stdout.readline().strip()
        assert 'for "step-up:mfa@300"' in fresh("approval", "show", action).out
        refused(fresh, action, key)
        assert fresh("approval", "deny", action, "--key", key).status == 0
        plan = fresh("approval", "plan", str(steps), "--task", task, "--json")
        assert plan.status == 0, plan.err
        refused(fresh, plan.document["plan"], key)
        agent.kill()


def refused(place: Installation, name: str, key: str) -> None:
    """Nothing is shown to be signed, nor asked of the daemon, which would have refused it as well."""
    done = place("approval", "sign", name, "--key", key)
    assert (done.status, done.out, "[step-up]" in done.err) == (3, "", True), done
    assert "signed in as `mfa`, at most 300 seconds ago" in done.err
    assert "operation-refused" not in place("audit", "tail", "--json").out

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from taskbound.wiring.home import find_socket
from tests.house.tree import ROOT
from tests.peers.openssh import make_key, sign

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.surfaces.cli.installation import Installation

AGENT = """
import sys
from pathlib import Path
import msgspec
from taskbound import __version__
from taskbound.sdk.client import Client
from taskbound.wire.action import Decide, Outcome, Permitted, Refused, Withheld
from taskbound.wire.connection import Open
client = Client(Path(sys.argv[1]), Open(role="gateway", version=__version__, agent="helper"))
def decide(request):
    return Decide(tool="fs__write", arguments=msgspec.Raw(b'{"path":"/a","size":8}'), request=request)
first = client.ask(decide("1"), Permitted)
client.ask(Outcome(action=first.action, outcome="unknown"), Withheld)
print(client.ask(decide("2"), Refused).action, flush=True)
for number, line in enumerate(sys.stdin, 3):
    print(type(client.ask_any(decide(str(number)))).__name__, flush=True)
"""


@pytest.fixture
def place(fresh: Installation, tmp_path: Path) -> Installation:
    fresh.prepare()
    assert fresh("person", "demo", "begin").status == 0
    assert fresh("person", "key", "add", str(make_key(tmp_path, name="alice"))).status == 0
    arguments = {"path": {"any": True}, "size": {"any": True}}
    total = {"size": {"limit": 100, "exponent": 0}}
    fresh.start_task(scope=fresh.scope({"tool": "fs__write", "arguments": arguments, "total": total}))
    return fresh


@pytest.fixture
def agent(place: Installation) -> Iterator[subprocess.Popen[str]]:
    """A gateway of its own whose call is held, since the one before ended unknown."""
    socket = str(find_socket(place.home))
    with subprocess.Popen(
        [sys.executable, "-c", AGENT, socket], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def line(agent: subprocess.Popen[str], told: str = "") -> str:
    assert agent.stdin is not None
    assert agent.stdout is not None
    if told:
        agent.stdin.write(told)
        agent.stdin.flush()
    return agent.stdout.readline().strip()


def test_what_is_held_is_shown_signed_with_ssh_keygen_and_runs_once(
    place: Installation, agent: subprocess.Popen[str], tmp_path: Path
) -> None:
    action = line(agent)
    listed = place("approval", "list")
    assert (listed.status, "fs__write" in listed.out, "`confirm` has 0 of 1" in listed.out) == (0, True, True)
    shown = place("approval", "show", action)
    assert shown.status == 0, shown.err
    assert '"/a"' in shown.out
    assert "may answer  alice" in shown.out
    assert place("approval", "sign", action).status == 2
    assert line(agent, "again\n") == "Refused"
    signed = place("approval", "sign", action, "--key", str(tmp_path / "alice"))
    assert signed.status == 0, signed.err
    assert "taskbound statement: confirm one action" in signed.err
    assert "is approved" in signed.out
    assert line(agent, "again\n") == "Permitted"
    assert "consumed" in place("approval", "list", "--state", "consumed").out
    assert place("approval", "list").out == "nothing waits for an answer\n"
    again = place("approval", "sign", action, "--key", str(tmp_path / "alice"))
    assert (again.status, "approval-over" in again.err, "it is consumed" in again.err) == (3, True, True)
    assert "You are about to sign" not in again.err


@pytest.mark.parametrize(
    ("more", "state"),
    [
        ((), "approved"),
        (("--retries", "2"), "approved"),
        (("--deny",), "denied"),
        (("--set", "size=4"), "narrowed"),
    ],
)
def test_commands_printed_with_a_statement_answer_the_question_as_printed(
    place: Installation, agent: subprocess.Popen[str], tmp_path: Path, more: tuple[str, ...], state: str
) -> None:
    action, file = line(agent), tmp_path / "the answer"
    (key,) = place("person", "key", "list", "--json").document["rows"]
    made = place("approval", "statement", action, "--by", key["key"], "--file", str(file), *more)
    assert made.status == 0, made.err
    signs, brings = (shlex.split(one) for one in made.out.splitlines()[-2:])
    subprocess.run([str(tmp_path / "alice") if one == "KEYFILE" else one for one in signs], check=True)
    assert brings[0] == "taskbound"
    answered = place(*brings[1:])
    assert (answered.status, state in answered.out) == (0, True), answered
    assert place("approval", "show", action, "--json").document["row"]["state"] == state


def test_check_of_the_reference_finds_what_is_not_what_the_statement_names(
    place: Installation, agent: subprocess.Popen[str], tmp_path: Path
) -> None:
    action = line(agent)
    (key,) = place("person", "key", "list", "--json").document["rows"]
    made = place("approval", "statement", action, "--by", key["key"], "--file", str(tmp_path / "answer"))
    assert made.status == 0, made.err
    page = (ROOT / "docs/reference/approvals.md").read_text(encoding="utf-8")
    (check,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    said = place("approval", "show", action, "--json").out
    for before, after, verdict in (
        ("", "", "same"),
        ("/a", "/b", "DIFFERENT: do not sign"),
        ("alice", "carol", "DIFFERENT: do not sign"),
    ):
        (tmp_path / "approval.json").write_text(said.replace(before, after) if before else said)
        words = [sys.executable, "-I", "-c", check]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, [verdict]), done.stderr


def test_a_statement_that_was_signed_elsewhere_is_brought_and_a_denial_is_final(
    place: Installation, agent: subprocess.Popen[str], tmp_path: Path
) -> None:
    action = line(agent)
    (key,) = place("person", "key", "list", "--json").document["rows"]
    file, signature = tmp_path / "answer", tmp_path / "answer.sig"
    words = ("--statement", str(file), "--signature", str(signature))
    made = place("approval", "statement", action, "--by", key["key"], "--deny", "--file", str(file))
    assert made.status == 0, made.err
    signature.write_bytes(sign(tmp_path / "alice", file.read_bytes()))
    other = place("approval", "sign", action, *words)
    assert (other.status, "says something else than the command" in other.err) == (2, True)
    said = file.read_bytes()
    file.write_bytes(re.sub(rb"question: \S+", b"question: apr_another", said))
    another = place("approval", "deny", action, *words)
    assert (another.status, "says something else than the command" in another.err) == (2, True)
    file.write_bytes(said)
    denied = place("approval", "deny", action, *words, "--json")
    assert denied.document["state"] == "denied"
    assert line(agent, "again\n") == "Refused"
    assert "denied by alice" in place("approval", "show", action).out
    assert "approval-denied" in place("action", "list", "--decision", "refuse").out


def test_law7_retries_are_covered_by_a_yes_that_says_how_many_and_by_nothing_else(
    place: Installation, agent: subprocess.Popen[str], tmp_path: Path
) -> None:
    action = line(agent)
    key, retries = ("--key", str(tmp_path / "alice")), ("--retries", "2")
    assert place("approval", "sign", action, *key, "--retries", "4").status == 2
    assert place("approval", "deny", action, *key, *retries).status == 2
    for name in ("pln_1", "amd_1"):
        other = place("approval", "sign", name, *key, *retries)
        assert (other.status, "only a yes to one action can cover retries" in other.err) == (2, True)
    (own,) = place("person", "key", "list", "--json").document["rows"]
    file, signature = tmp_path / "answer", tmp_path / "answer.sig"
    by = ("--by", own["key"], "--file", str(file))
    denial = place("approval", "statement", action, *by, "--deny", *retries)
    assert (denial.status, file.exists()) == (2, False)
    assert place("approval", "statement", action, *by, *retries).status == 0
    assert "retries covered: 2\n" in file.read_text()
    signature.write_bytes(sign(tmp_path / "alice", file.read_bytes()))
    words = ("--statement", str(file), "--signature", str(signature))
    plain = place("approval", "sign", action, *words)
    assert (plain.status, "says something else than the command" in plain.err) == (2, True)
    signed = place("approval", "sign", action, *words, *retries)
    assert (signed.status, "is approved" in signed.out) == (0, True), signed.err
    assert "confirm by alice, retries covered: 2" in place("approval", "show", action).out
    assert line(agent, "again\n") == "Permitted"


def test_a_question_is_watched_and_withdrawn(place: Installation, agent: subprocess.Popen[str]) -> None:
    action = line(agent)
    watched = place("approval", "watch", "--once")
    assert ("pending" in watched.out, "fs__write" in watched.out) == (True, True)
    assert place("approval", "withdraw", action, "--reason", "not now", "--yes").status == 0
    assert place("approval", "watch", "--once").out == ""
    assert "not now" in place("approval", "show", action).out
    file = place.project / "answer"
    (key,) = place("person", "key", "list", "--json").document["rows"]
    made = place("approval", "statement", action, "--by", key["key"], "--file", str(file))
    assert (made.status, "is over: it is withdrawn" in made.err, file.exists()) == (3, True, False)


def test_a_call_is_narrowed_with_one_signature_and_what_runs_instead_shows_what_it_narrows(
    place: Installation, agent: subprocess.Popen[str], tmp_path: Path
) -> None:
    whole = line(agent)
    for words, why in (
        (("--set", "path=/b"), "not-narrower"),
        (("--set", "more=1"), "has no argument"),
        (("--set", "size"), "is not ARGUMENT=AMOUNT"),
        (("--set", "size=9"), "not-narrower"),
        (("--set", "size=1", "--set", "size=2"), "is given twice"),
        (("--set", "size=\u0661"), "is no number"),
    ):
        refused = place("approval", "narrow", whole, *words, "--key", str(tmp_path / "alice"))
        assert (refused.status in {2, 3}, why in refused.err) == (True, True), refused.err
    assert place("approval", "narrow", whole, "--set", "size=2").status == 2
    done = place("approval", "narrow", whole, "--set", "size=2", "--key", str(tmp_path / "alice"))
    assert done.status == 0, done.err
    assert "`size` will be 2 instead of 8" in done.out
    assert "taskbound statement: narrow one action" in done.err
    assert ("is narrowed" in done.out, "is approved" in done.out) == (True, True)
    held = place("approval", "show", whole, "--json").document
    assert (held["row"]["state"], held["narrowed_to"] != "") == ("narrowed", True)
    less = place("approval", "show", held["narrowed_to"])
    assert f"narrows | {held['digest']}" in re.sub(" +", " ", less.out)
    assert held["row"]["approval"] in less.out
    assert "`size` is 2 instead of 8" in less.out
    assert line(agent, "again\n") == "Narrowed"


def test_a_narrowing_is_signed_elsewhere_and_brought_with_the_same_values(
    place: Installation, agent: subprocess.Popen[str], tmp_path: Path
) -> None:
    action = line(agent)
    (key,) = place("person", "key", "list", "--json").document["rows"]
    file, signature = tmp_path / "answer", tmp_path / "answer.sig"
    less = ("--set", "size=2")
    both = place("approval", "statement", action, "--by", key["key"], *less, "--deny", "--file", str(file))
    assert both.status == 2
    made = place("approval", "statement", action, "--by", key["key"], *less, "--file", str(file))
    assert (made.status, "`size` will be 2 instead of 8" in made.out) == (0, True), made.err
    signature.write_bytes(sign(tmp_path / "alice", file.read_bytes()))
    words = ("--statement", str(file), "--signature", str(signature))
    for other in (("sign", action), ("deny", action), ("narrow", action, "--set", "size=3")):
        refused = place("approval", *other, *words)
        assert (refused.status, "says something else than the command" in refused.err) == (2, True)
    brought = place("approval", "narrow", action, *less, *words, "--json")
    assert (brought.document["state"], brought.document["missing"]) == ("approved", "")

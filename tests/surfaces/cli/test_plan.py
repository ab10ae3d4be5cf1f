from __future__ import annotations

import dataclasses
import json
import os
import re
import select
import shlex
import signal
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.approval import UnreadablePlanError, UnreadableQuestionError, parse_plan
from taskbound.surfaces.cli.approval import plan as cli_plan
from taskbound.wire.approval import PlanDetail, ShowPlan
from tests.peers.openssh import make_key, sign
from tests.sheet_oracle import parse_plan_sheet
from tests.surfaces.cli.asking import asking
from tests.surfaces.cli.installation import PROGRAM

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.surfaces.cli.asking import Asking
    from tests.surfaces.cli.installation import Installation

PATHS = ("/a", "/b", "/c")
HELD = """@id("asked") @hold("approval:agent")
forbid (principal, action in [Taskbound::Action::"fs__write", Taskbound::Action::"fs__drop"], resource);
"""
STEPS = [{"tool": "fs__write", "arguments": {"path": one}} for one in PATHS]


class Office:
    """A real daemon, alice with a key, and her agent, whose writes wait since each once ended unknown."""

    def __init__(self, place: Installation, folder: Path) -> None:
        self.place, self.folder, self._stack = place, folder, ExitStack()
        assert place("person", "demo", "begin").status == 0
        self.key = ("--key", str(make_key(folder, name="alice")))
        assert place("person", "key", "add", self.key[1]).status == 0
        self.task = place.start_task(scope=place.scope({"tool": "fs__write", "others": "any"}))
        self.ask: Asking = self._stack.enter_context(asking(place))
        for path in PATHS:
            self.ask(json.dumps({"outcome": "unknown", "action": self.call(path)["action"]}))

    def call(self, path: str) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self.ask(json.dumps({"path": path})))
        return said

    def run(self, path: str) -> str:
        """Make a call that is permitted, and have it succeed."""
        said = self.call(path)
        assert said["is"] == "permitted", said
        self.ask(json.dumps({"outcome": "succeeded", "action": said["action"], "answer": {}}))
        return str(said["action"])

    def file(self, text: str, name: str = "steps.json") -> str:
        path = self.folder / name
        path.write_text(text)
        return str(path)

    def propose(self, steps: object = STEPS) -> str:
        done = self.place("approval", "plan", self.file(json.dumps(steps)), "--task", self.task, "--json")
        assert done.status == 0, done.err
        return str(done.document["plan"])

    def restart(self) -> None:
        """The daemon ends, another one begins, and the agent's gateway comes back."""
        process = os.pidfd_open(self.place.status().pid)
        signal.pidfd_send_signal(process, signal.SIGTERM)
        assert select.select([process], [], [], 30)[0]
        os.close(process)
        assert self.place("task", "list").status == 0
        self.ask = self._stack.enter_context(asking(self.place))

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def office(fresh: Installation, tmp_path: Path) -> Iterator[Office]:
    fresh.prepare()
    one = Office(fresh, tmp_path)
    yield one
    one.close()


@pytest.fixture(scope="module")
def refusing(shared: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """One for all plans that are refused, which leave it as it was."""
    one = Office(shared, tmp_path_factory.mktemp("refusing"))
    yield one
    one.close()


def test_a_plan_is_shown_whole_signed_once_and_runs_in_order_over_a_restart_of_the_daemon(
    office: Office,
) -> None:
    place = office.place
    plan = office.propose()
    listed = place("approval", "list")
    assert (plan in listed.out, "3 steps: fs__write" in listed.out) == (True, True)
    assert listed.out.count("\n") == 2, "a head, and one line for the plan"
    rows = sorted(place("approval", "list", "--json").document["rows"], key=lambda one: one["step"])
    assert [(one["plan"], one["step"]) for one in rows] == [(plan, 1), (plan, 2), (plan, 3)]
    assert f"step 1 of {plan}" in place("approval", "watch", "--once").out
    shown = place("approval", "show", plan)
    end = re.search(r"^  end +\| of \d+ lines\n(?=state)", shown.out, re.MULTILINE)
    assert end is not None, shown.out
    sheet = parse_plan_sheet(shown.out[: end.end()])
    assert [json.loads(one.arguments) for one in sheet.steps] == [one["arguments"] for one in STEPS]
    assert ("may answer  alice" in shown.out, "0 of 3 steps" in shown.out) == (True, True)
    signed = place("approval", "sign", plan, *office.key)
    assert signed.status == 0, signed.err
    assert "taskbound statement: confirm one plan, version 1" in signed.err
    assert signed.out.rstrip().endswith(f"{plan} is approved")
    used = [office.run("/a")]
    office.restart()
    used += [office.run("/b"), office.run("/c")]
    assert used == [one["action"] for one in rows]
    assert place("approval", "show", plan, "--json").document["state"] == "consumed"
    assert place("audit", "verify").status == 0


def test_a_call_that_differs_is_asked_about_and_the_rest_is_over(office: Office) -> None:
    plan = office.propose()
    assert office.place("approval", "sign", plan, *office.key).status == 0
    office.run("/a")
    other = office.call("/c")
    assert (other["code"], other["reasons"][0]["code"]) == ("held", "plan-over")
    shown = office.place("approval", "show", plan)
    assert ("superseded" in shown.out, "the next was step 2" in shown.out) == (True, True)
    late = office.place("approval", "sign", plan, *office.key)
    assert (late.status, "approval-over" in late.err) == (3, True)


def test_a_step_is_not_answered_by_itself_and_its_plan_is_withdrawn_and_denied_as_a_whole(
    office: Office,
) -> None:
    place, plan = office.place, office.propose()
    (step, *_) = [one["approval"] for one in place("approval", "list", "--json").document["rows"]]
    alone = place("approval", "sign", step, *office.key)
    assert (alone.status, "signed-together" in alone.err, plan in alone.err) == (3, True, True)
    page = place("approval", "open", plan)
    assert (page.status, "a page shows one action" in page.err) == (2, True)
    denying = place("approval", "open", plan, "--deny")
    assert (denying.status, "no-passkey" in denying.err, "end" in denying.out) == (3, True, True)
    less = place("approval", "narrow", plan, "--set", "path=1", *office.key)
    assert (less.status, "can't be narrowed" in less.err) == (2, True)
    assert place("approval", "withdraw", step, "--yes").status == 0
    assert place("approval", "show", plan, "--json").document["state"] == "withdrawn"
    again = office.propose()
    denied = place("approval", "deny", again, *office.key)
    assert denied.out.rstrip().endswith(f"{again} is denied")
    assert office.call("/b")["code"] == "approval-denied"


def test_a_plan_is_signed_elsewhere_and_brought(office: Office) -> None:
    place, plan = office.place, office.propose()
    (key,) = place("person", "key", "list", "--json").document["rows"]
    file, signature = office.folder / "answer", office.folder / "answer.sig"
    words = ("--statement", str(file), "--signature", str(signature))
    made = place("approval", "statement", plan, "--by", key["key"], "--file", str(file))
    assert made.status == 0, made.err
    signature.write_bytes(sign(office.folder / "alice", file.read_bytes()))
    other = place("approval", "deny", plan, *words)
    assert (other.status, "says something else than the command" in other.err) == (2, True)
    said = file.read_bytes()
    file.write_bytes(said.replace(b"one plan", b"one action"))
    assert place("approval", "sign", plan, *words).status == 2
    file.write_bytes(said)
    signed = place("approval", "sign", plan, *words, "--json")
    assert (signed.document["plan"], signed.document["state"]) == (plan, "approved")


@pytest.mark.parametrize(
    ("name", "text", "where", "words"),
    [
        ("s.json", '[\n {"tool": "fs__write"}\n]', "s.json:2:2", "a step has `tool` and `arguments`"),
        ("s.json", '{"tool": "x"}', "s.json:1:1", "a plan is a list"),
        ("s.json", '[{"tool": 1, "arguments": {}}]', "s.json:1:3", "a tool is a name"),
        ("s.yaml", "- tool: fs__write\n  arguments: []\n", "s.yaml:2:3", "arguments are an object"),
        ("s.json", '[{"tool": "a", "tool": "b"}]', "s.json:1:16", "`tool`"),
        ("s.jsonl", '{"tool":"fs__write","arguments":{}}\n\n{"tool":1}\n', "s.jsonl:3:1", "a step has"),
        (
            "s.jsonl",
            '{"tool":"fs__write","arguments":{"path":"/a"}}\n{"tool":"fs__read","arguments":{"path":"/a"}}\n',
            "s.jsonl:2:1",
            "step 2 (`fs__read`)",
        ),
        (
            "s.yaml",
            "- tool: fs__write\n  arguments: {path: /a}\n- tool: fs__write\n  arguments: {path: /new}\n",
            "s.yaml:3:3",
            "it needs no approval",
        ),
        ("s.json", '[{"tool":"fs__write","arguments":{"path":"/a"}}]', "", "2 to 20 steps"),
    ],
)
def test_a_refused_plan_is_told_with_its_line(
    refusing: Office, name: str, text: str, where: str, words: str
) -> None:
    done = refusing.place("approval", "plan", refusing.file(text, name), "--task", refusing.task)
    assert done.status in {2, 3}
    assert (where in done.err, words in done.err) == (True, True), done.err
    assert refusing.place("approval", "list").out == "nothing waits for an answer\n"


AGENT = """
import json, subprocess, sys
*program, file, other, key = sys.argv[1:]
def call(*words):
    return subprocess.run([*program, *words, "--json"], capture_output=True, text=True, input="")
own = json.loads(call("task", "list").stdout)["rows"][0]["task"]
for task in (own, other):
    print(json.loads(call("approval", "plan", file, "--task", task).stderr)["code"], flush=True)
print(json.loads(call("approval", "sign", "pln_any", "--key", key).stderr)["code"], flush=True)
"""


def test_what_runs_beneath_a_run_proposes_for_its_own_task_alone_and_answers_nothing(office: Office) -> None:
    file = office.file(json.dumps(STEPS))
    command = (sys.executable, "-c", AGENT, *PROGRAM, file, office.task, office.key[1])
    scope = office.place.scope({"tool": "fs__write", "others": "any"})
    ended = office.place.ended("run", "--agent", "helper", "--scope", scope, "--", *command)
    said = ended.out.split()[-3:]
    assert said == ["plan-refused", "not-outside", "unknown-approval"], ended
    told = office.place("audit", "tail", "--json").out
    assert ("plan-refused" in told, "beneath the run of" in told) == (True, True)


class Voters(Office):
    """Writes are bea's to approve, and drops bea's or cleo's; both sign on machines of their own."""

    def __init__(self, place: Installation, folder: Path) -> None:
        super().__init__(place, folder)
        rules = place.project / "rules"
        rules.mkdir()
        (rules / "own.cedar").write_text(HELD, encoding="utf-8")
        digest = place("policy", "propose", "rules", "--json").document["digest"]
        assert place("policy", "activate", digest).status == 0
        self.keys = {name: self.enroll(name, uid) for name, uid in (("bea", "12346"), ("cleo", "12347"))}
        for tool, names in (("fs__write", ("bea",)), ("fs__drop", ("bea", "cleo"))):
            words = [word for name in names for word in ("--approver", name)]
            done = place("tool", "declare", tool, *words, "--yes")
            assert done.status == 0, done.err
        self.task = place.start_task(
            scope=place.scope(*({"tool": one, "others": "any"} for one in ("fs__write", "fs__drop")))
        )

    def enroll(self, name: str, uid: str) -> str:
        place, own = self.place, make_key(self.folder, name=name)
        assert place("person", "add", name, "--uid", uid).status == 0
        words = ("person", "key", "add", f"{own}.pub", "--person", name, "--elsewhere", "--json")
        key = str(place(*words).document["row"]["key"])
        statement, signature = self.folder / "enroll", self.folder / "enroll.sig"
        assert place("person", "key", "show", key, "--statement", str(statement)).status == 0
        signature.write_bytes(sign(own, statement.read_bytes()))
        assert place("person", "key", "prove", key, "--signature", str(signature)).status == 0
        assert place("person", "key", "vouch", key, "--with", self.key[1]).status == 0
        return key

    def brought(self, plan: str, name: str, *more: str) -> tuple[str, ...]:
        """What this person has signed elsewhere, as it is brought."""
        file, signature = self.folder / "answer", self.folder / "answer.sig"
        words = ("approval", "statement", plan, "--by", self.keys[name], "--file", str(file), *more)
        made = self.place(*words)
        assert made.status == 0, made.err
        signature.write_bytes(sign(self.folder / name, file.read_bytes()))
        return tuple(shlex.split(made.out.splitlines()[-1])[1:])


def test_who_may_answer_one_step_is_shown_as_may_deny_and_denies(fresh: Installation, tmp_path: Path) -> None:
    fresh.prepare()
    voters = Voters(fresh, tmp_path)
    place = voters.place
    plan = voters.propose([STEPS[0], {"tool": "fs__drop", "arguments": {}}, STEPS[1]])
    shown = place("approval", "show", plan).out
    assert re.search(r"^may answer +bea\nmay deny +bea\n +┊ cleo\n", shown, re.MULTILINE), shown
    signed = place(*voters.brought(plan, "cleo"))
    assert (signed.status, "not-entitled" in signed.err) == (3, True)
    assert place(*voters.brought(plan, "bea")).status == 0
    denied = place(*voters.brought(plan, "cleo", "--deny"))
    assert denied.out.rstrip().endswith(f"{plan} is denied: step 2, and the rest is superseded")
    shown = place("approval", "show", plan).out
    assert re.search(r"^answers +approve by bea\n +┊ deny by cleo of step 2\n", shown, re.MULTILINE), shown
    assert "step 2: denied by cleo" in shown
    assert "may deny" not in shown
    voters.close()


def test_a_daemon_that_shows_one_plan_and_has_another_signed_is_found_out(office: Office) -> None:
    from msgspec.structs import replace  # noqa: PLC0415  # of this story alone

    plan = office.propose()
    with office.place.client() as client:
        honest = client.ask(ShowPlan(plan=plan), PlanDetail)
    cli_plan._read(honest)  # noqa: SLF001  # what the commands look through before they show anything
    first, second, third = honest.steps
    other = dataclasses.replace(parse_plan(honest.canonical.encode()), id="pln_other")
    lies: list[PlanDetail] = [
        replace(honest, steps=(second, first, third)),
        replace(honest, steps=(first, second)),
        replace(honest, steps=(first, first, third)),
        replace(honest, digest="0" * 64),
        replace(honest, plan="pln_other"),
        replace(honest, plan=other.id, digest=other.digest, canonical=other.canonical.decode()),
        replace(honest, steps=(replace(first, arguments='{"path":"/etc"}'), second, third)),
        replace(
            honest, steps=(replace(first, question=second.question, digest=second.digest), second, third)
        ),
        replace(honest, canonical=honest.canonical.replace(first.digest, second.digest)),
    ]
    for lie in lies:
        with pytest.raises((UnreadablePlanError, UnreadableQuestionError)):
            cli_plan._read(lie)  # noqa: SLF001  # as above

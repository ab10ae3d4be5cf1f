from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

import msgspec
import pytest

from taskbound.core.approval import UnreadableQuestionError
from taskbound.surfaces.cli.approval.amendment import is_amendment, read_amendment, require_difference
from taskbound.wire.action import AmendmentDetail
from tests.peers.openssh import make_key, sign

if TYPE_CHECKING:
    from pathlib import Path

    from tests.surfaces.cli.installation import Installation

READ = {"tool": "fs__read", "arguments": {"path": {"below": "/srv"}}, "uses": 4}


@pytest.fixture
def place(fresh: Installation, tmp_path: Path) -> Installation:
    """Alice asks, and bea approves; both sign with `ssh-keygen`."""
    fresh.prepare()
    approvers = ("--owner", "alice", "--approver", "alice", "--approver", "bea")
    for told in (
        ("person", "demo", "begin"),
        ("person", "key", "add", str(make_key(tmp_path, name="alice"))),
        ("person", "add", "bea", "--uid", "12346"),
        ("agent", "people", "helper", *approvers),
    ):
        done = fresh(*told)
        assert done.status == 0, done.err
    bea = make_key(tmp_path, name="bea")
    words = ("person", "key", "add", f"{bea}.pub", "--person", "bea", "--elsewhere", "--json")
    key = fresh(*words).document["row"]["key"]
    statement, signature = tmp_path / "enroll", tmp_path / "enroll.sig"
    assert fresh("person", "key", "show", key, "--statement", str(statement)).status == 0
    signature.write_bytes(sign(bea, statement.read_bytes()))
    assert fresh("person", "key", "prove", key, "--signature", str(signature)).status == 0
    assert fresh("person", "key", "vouch", key, "--with", str(tmp_path / "alice")).status == 0
    (fresh.project / "more.yaml").write_text(json.dumps({"grants": [READ | {"uses": 9}]}))
    fresh.start_task(scope=fresh.scope(READ))
    return fresh


def task_of(place: Installation) -> str:
    (row,) = place("task", "list", "--state", "running", "--json").document["rows"]
    return str(row["task"])


def widen(place: Installation, *more: str) -> str:
    """The amendment that is asked for."""
    words = ("task", "amend", task_of(place), "--scope", str(place.project / "more.yaml"))
    asked = place(*words, "--reason", "there are more invoices", "--yes", "--json", *more)
    assert asked.status == 0, asked.err
    return str(asked.document["row"]["amendment"])


def answer(place: Installation, folder: Path, word: str, amendment: str, *more: str) -> tuple[str, ...]:
    """What bea has signed on another machine, as it is brought."""
    rows = place("person", "key", "list", "--json").document["rows"]
    key = next(one["key"] for one in rows if one["person"] == "bea")
    file, signature = folder / "answer", folder / "answer.sig"
    made = place("approval", "statement", amendment, "--by", key, "--file", str(file), *more)
    assert made.status == 0, made.err
    assert "8" in made.out
    signature.write_bytes(sign(folder / "bea", file.read_bytes()))
    brings = shlex.split(made.out.splitlines()[-1])
    assert brings[:4] == ["taskbound", "approval", word, amendment]
    return tuple(brings[1:])


def test_a_widening_is_asked_for_shown_signed_with_ssh_keygen_and_counts(
    place: Installation, tmp_path: Path
) -> None:
    task = task_of(place)
    words = ("task", "amend", task, "--scope", str(place.project / "more.yaml"))
    silent = place(*words, "--yes")
    assert (silent.status, "say why with `--reason`" in silent.err) == (2, True)
    asked = place(*words, "--reason", "there are more invoices", "--for", "20m", "--yes")
    assert asked.status == 0, asked.err
    assert "new g0 (`fs__read`)" in asked.out
    assert "may answer  bea" in asked.out
    amendment = next(word for word in asked.out.split() if is_amendment(word))
    assert f"{amendment} waits for an answer" in place("task", "show", task).out
    assert "amend tsk_" in place("approval", "list").out
    assert "pending" in place("approval", "watch", "--once").out
    shown = place("approval", "show", amendment).out
    limits = ("up to 9 times", "g0/uses: 4 of 4", '"uses":9')
    for part in ("there are more invoices", "new g0 (`fs__read`)", *limits):
        assert part in shown, part
    mine = place("approval", "sign", amendment, "--key", str(tmp_path / "alice"))
    assert (mine.status, "not-entitled" in mine.err) == (3, True)
    assert "taskbound statement: approve one amendment, version 1" in mine.err
    brought = answer(place, tmp_path, "sign", amendment)
    other = place("approval", "deny", *brought[2:])
    assert (other.status, "says something else than the command" in other.err) == (2, True)
    signed = place(*brought)
    assert (signed.status, f"{amendment} is applied" in signed.out) == (0, True), signed.err
    assert "g0/uses: 9 of 9" in place("task", "show", task).out
    assert "applied" in place("approval", "list", "--state", "applied").out
    again = place(*brought)
    assert (again.status, "approval-over" in again.err) == (3, True)


def test_a_denial_is_final_and_said_so(place: Installation, tmp_path: Path) -> None:
    amendment = widen(place)
    brought = answer(place, tmp_path, "deny", amendment, "--deny")
    assert place(*brought, "--json").document["state"] == "denied"
    task = task_of(place)
    words = ("task", "amend", task, "--scope", str(place.project / "more.yaml"), "--reason", "again", "--yes")
    refused = place(*words)
    assert (refused.status, "amendment-denied" in refused.err) == (3, True)
    assert "denied by bea" in place("approval", "show", amendment).out
    assert "g0/uses: 4 of 4" in place("task", "show", task).out


def test_it_is_withdrawn_and_what_answers_actions_refuses_it(place: Installation, tmp_path: Path) -> None:
    amendment = widen(place)
    key = ("--key", str(tmp_path / "alice"))
    for words in (
        ("narrow", amendment, "--set", "a=1", *key),
        ("open", amendment),
        ("prove", amendment, "--evidence-jws", str(tmp_path / "alice.pub")),
    ):
        refused = place("approval", *words)
        assert (refused.status, "is an amendment of a task" in refused.err) == (2, True), refused.err
    assert place("approval", "sign", amendment).status == 2
    assert place("approval", "withdraw", amendment, "--reason", "not now", "--yes").status == 0
    assert "not now" in place("approval", "show", amendment).out
    assert place("approval", "list").out == "nothing waits for an answer\n"
    unknown = place("approval", "show", "amd_nothing")
    assert (unknown.status, "unknown-approval" in unknown.err) == (3, True)


def test_a_narrower_scope_needs_nobody_and_says_so(place: Installation) -> None:
    (place.project / "more.yaml").write_text(json.dumps({"grants": [READ | {"uses": 2}]}))
    words = ("task", "amend", task_of(place), "--scope", str(place.project / "more.yaml"), "--yes")
    refused = place(*words, "--reason", "less")
    assert (refused.status, "amendment-narrows" in refused.err) == (3, True)
    assert place(*words).status == 0


def test_a198_a_daemon_that_shows_one_thing_and_has_another_signed_is_found_out(place: Installation) -> None:
    amendment = widen(place)
    words = ("approval", "show", amendment, "--json")
    told = place(*words).document
    found = told_as(told)
    assert read_amendment(found)[0].id == amendment
    row, names = told["row"], ("amendment", "task", "agent", "requester", "asker", "why")
    lies = [
        {"digest": "0" * 64},
        {"question": told["question"].replace('"uses":9', '"uses":8')},
        {"question": told["question"].replace("more invoices", "more bills")},
        {"question": "{}"},
        {"before": '{"grants":[{"tool":"fs__read"}]}'},
        *({"row": row | {name: "else"}} for name in names),
    ]
    require_difference(read_amendment(found)[1])
    with pytest.raises(UnreadableQuestionError):
        require_difference(read_amendment(told_as(told | {"before": "", "row": row | {"state": "x"}}))[1])
    for lie in lies:
        with pytest.raises(UnreadableQuestionError):
            read_amendment(told_as(told | lie))


def told_as(document: dict[str, object]) -> AmendmentDetail:
    """What a daemon that says this has said."""
    return msgspec.convert(document, AmendmentDetail)


def test_what_a_step_that_is_past_could_do_is_new_where_it_would_come_back(place: Installation) -> None:
    done, next_step = {"name": "collect", "grants": [READ]}, {"name": "close", "grants": [READ | {"uses": 1}]}
    path = place.project / "steps.json"
    path.write_text(json.dumps({"steps": [done, next_step]}))
    task = place.start_task(scope=str(path))
    assert place("task", "step", task, "close").status == 0
    more = place.project / "more.yaml"
    more.write_text(json.dumps({"steps": [done | {"name": "collect2"}, next_step]}))
    asked = place("task", "amend", task, "--scope", str(more), "--reason", "again", "--yes", "--json")
    amendment = asked.document["row"]["amendment"]
    shown = " ".join(place("approval", "show", amendment).out.split())
    assert "step close (2 of 2); then step collect2 (1 of 2)" in shown
    assert "the same:" not in shown
    assert "narrower:" not in shown
    assert "up to 4 times" in shown
    told = place("approval", "show", amendment, "--json").document
    with pytest.raises(UnreadableQuestionError):
        read_amendment(told_as(told | {"question": told["question"].replace('"step":1', '"step":2')}))


def test_amendments_have_pages_of_their_own_and_approvals_none_of_them(place: Installation) -> None:
    asked: list[str] = []
    for _ in range(5):
        asked.insert(0, widen(place))
        assert place("approval", "withdraw", asked[0], "--yes").status == 0
    seen: list[str] = []
    before: tuple[str, ...] = ()
    for size in (2, 2, 1):
        words = ("approval", "list", "--state", "withdrawn", "--limit", "2", *before)
        page = place(*words, "--json").document
        names = [one["amendment"] for one in page["amendments"]]
        assert (len(names), page.get("more_amendments", False), page["rows"]) == (size, size == 2, [])
        assert (f"`--before {names[-1]}`" in place(*words).err) is (size == 2)
        seen += names
        before = ("--before", names[-1])
    assert seen == asked

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.core.action import JsonValue
from taskbound.core.approval import (
    First,
    Need,
    NeedKind,
    Operand,
    ProbeKind,
    Question,
    UnliftableError,
    UnreadableQuestionError,
    differing,
    parse_lifter,
    parse_question,
)
from taskbound.core.clock import Instant
from tests.core.approval.values import ARGUMENTS, HOUR, NOW, act, operand, question

FIRST = First(id="apr_0", action="act_0", nonce="n0", asked=NOW, deadline=Instant(NOW + HOUR))
TO: dict[str, JsonValue] = {"host": "db.example", "database": "books", "user": "app"}

# I-28, A176 and A183: one thing changed after the approval, whatever it is, is another question.
MUTATIONS: dict[str, Callable[[], Question]] = {
    "namespace of the question": lambda: question(namespace="other"),
    "id of the question": lambda: question(id="apr_2"),
    "id of the action (A177)": lambda: question(action="act_2"),
    "namespace of the action": lambda: question(act=act(namespace="other")),
    "task of the action": lambda: question(act=act(task="tsk_2")),
    "task": lambda: question(task="tsk_2"),
    "agent of the action": lambda: question(act=act(agent="bot2")),
    "agent": lambda: question(agent="bot2"),
    "tool of the action": lambda: question(act=act(tool="bank__draw")),
    "tool as shown": lambda: question(tool="bank__draw"),
    "server: its binary, working directory, environment": lambda: question(act=act(server="5f" * 32)),
    "definition of the tool": lambda: question(act=act(definition="df" * 32)),
    "an argument": lambda: question(act=act(ARGUMENTS | {"amount": 11})),
    "an argument as text (A183)": lambda: question(act=act(ARGUMENTS | {"amount": "10"})),
    "target host": lambda: question(act=act(ARGUMENTS | {"to": TO | {"host": "db2.example"}})),
    "target database": lambda: question(act=act(ARGUMENTS | {"to": TO | {"database": "books2"}})),
    "target user": lambda: question(act=act(ARGUMENTS | {"to": TO | {"user": "root"}})),
    "order of a list": lambda: question(act=act(ARGUMENTS | {"files": ["b", "a"]})),
    "an item more": lambda: question(act=act(ARGUMENTS | {"files": ["a", "b", "c"]})),
    "an item less": lambda: question(act=act(ARGUMENTS | {"files": ["a"]})),
    "an argument more": lambda: question(act=act(ARGUMENTS | {"force": True})),
    "an argument less": lambda: question(act=act({"amount": 10})),
    "a letter of another script": lambda: question(act=act(ARGUMENTS | {"note": "r\u0435nt"})),
    "a space at the end": lambda: question(act=act(ARGUMENTS | {"note": "rent "})),
    "requester": lambda: question(requester="ron"),
    "purpose": lambda: question(purpose="pay the rent."),
    "policy bundle": lambda: question(bundle="b2"),
    "scope": lambda: question(scope="s2"),
    "what lifts it": lambda: question(lifters=("approval:legal",)),
    "quorum": lambda: question(lifters=("approval:finance:2",)),
    "one lifter more": lambda: question(lifters=("approval:finance", "confirm")),
    "nonce": lambda: question(nonce="n2"),
    "instant of asking": lambda: question(asked=Instant(NOW + 1)),
    "deadline": lambda: question(deadline=Instant(NOW + HOUR + 1)),
    "content of a file": lambda: question(operands=(operand(sha256="ac" * 32),)),
    "resolved path of a file": lambda: question(operands=(operand(path="/srv/b"),)),
    "inode of a file": lambda: question(operands=(operand(inode="78"),)),
    "device of a file": lambda: question(operands=(operand(device="2050"),)),
    "size of a file": lambda: question(operands=(operand(size="6"),)),
    "a file that is not looked at": lambda: question(operands=()),
    "what it narrows": lambda: question(narrows="5a" * 32),
    "that it narrows something else": lambda: question(narrows="5b" * 32),
    "that it is a retry": lambda: question(first=FIRST, retry=1),
    "which retry it is": lambda: question(first=FIRST, retry=2),
    "of what it is a retry": lambda: question(first=replace(FIRST, id="apr_9"), retry=1),
    "of which action": lambda: question(first=replace(FIRST, action="act_9"), retry=1),
    "until when that was open": lambda: question(first=replace(FIRST, deadline=NOW), retry=1),
    "edition of the scope": lambda: question(edition=2),
    "another edition of the scope": lambda: question(edition=3),
    "plan and step": lambda: question(plan="pln_1", step=2),
    "another step of the plan": lambda: question(plan="pln_1", step=3),
}


@pytest.mark.parametrize("what", MUTATIONS)
def test_one_field_changed_is_another_question(what: str) -> None:
    assert MUTATIONS[what]().digest != question().digest


def test_all_changed_questions_differ_from_each_other() -> None:
    digests = {make().digest for make in MUTATIONS.values()}
    assert len(digests) == len(MUTATIONS) >= 30


def test_the_same_question_has_the_same_digest_and_ten_is_ten_however_it_is_written() -> None:
    assert question().digest == question().digest
    assert question(act=act(ARGUMENTS | {"amount": 10.0})).digest == question().digest


def test_the_digest_is_of_this_kind_and_version_only() -> None:
    assert b'"kind":"taskbound approval"' in question().canonical
    assert b'"version":1' in question().canonical


def test_digests_of_questions_are_pinned() -> None:
    every = (question(), question(narrows="5a" * 32, plan="pln_1", step=2), question(first=FIRST, retry=1))
    assert [one.digest[:16] for one in every] == ["a61804eae23b41c1", "692a0bba612d437f", "a9805aeb5a7b6c06"]


def test_a_question_is_read_as_it_was_written() -> None:
    assert parse_question(question().canonical) == question()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"nonce":"n1"', b'"nonce":"n1","more":1'),
        (b'"nonce":"n1"', b'"nonce":1'),
        (b'"nonce":"n1",', b""),
        (b'"kind":"taskbound approval"', b'"kind":"taskbound action"'),
        (b'"version":1', b'"version":2'),
        (b'"narrows":"",', b""),
        (b'"narrows":""', b'"narrows":1'),
        (b'"plan":"",', b""),
        (b'"plan":""', b'"plan":1'),
        (b'"step":0', b'"step":"0"'),
        (b'"step":0', b'"step":true'),
        (b'"first":null,', b""),
        (b'"first":null', b'"first":{}'),
        (b'"first":null', b'"first":[]'),
        (b'"edition":1,', b""),
        (b'"deadline":1', b'"deadline": 1'),
        (b'"lifters":["approval:finance"]', b'"lifters":"approval:finance"'),
        (b'"inode":"77"', b'"inode":77'),
        (b'"kind":"file"', b'"kind":"link"'),
        (b'"place":"/file"', b'"place":"/file","x":1'),
    ],
)
def test_bytes_that_are_no_question_as_it_was_asked_are_not_read(old: bytes, new: bytes) -> None:
    raw = question().canonical
    assert old in raw
    with pytest.raises(UnreadableQuestionError):
        parse_question(raw.replace(old, new))


@pytest.mark.parametrize("retry", [b"0", b"-1", b"true", b'"1"', b"1.5", b"null"])
def test_law7_which_retry_it_is_is_a_number_from_1(retry: bytes) -> None:
    raw = question(first=FIRST, retry=1).canonical
    assert parse_question(raw).retry == 1
    with pytest.raises(UnreadableQuestionError):
        parse_question(raw.replace(b'"retry":1', b'"retry":' + retry))
    with pytest.raises(UnreadableQuestionError):
        parse_question(question(first=FIRST, retry=0).canonical)
    with pytest.raises(UnreadableQuestionError):
        parse_question(question(retry=1).canonical)
    with pytest.raises(UnreadableQuestionError):
        parse_question(question(retry=-1).canonical)


@pytest.mark.parametrize("edition", [b"0", b"-1", b"true", b'"1"', b"1.5", b"null"])
def test_an_edition_is_a_whole_number_from_1(edition: bytes) -> None:
    raw = question(edition=1).canonical
    with pytest.raises(UnreadableQuestionError):
        parse_question(raw.replace(b'"edition":1', b'"edition":' + edition))


@given(
    st.builds(
        question,
        purpose=st.text(max_size=20),
        nonce=st.text(max_size=8),
        requester=st.text(max_size=8),
        lifters=st.lists(st.sampled_from(["confirm", "approval:a", "approval:b:3"]), max_size=3).map(tuple),
        operands=st.lists(st.builds(operand, path=st.text(max_size=9)), max_size=2).map(tuple),
        narrows=st.sampled_from(["", "5a" * 32]),
        edition=st.integers(1, 3),
    )
)
def test_every_question_is_read_as_it_was_written(asked: Question) -> None:
    assert parse_question(asked.canonical) == asked


def test_a_lifter_names_who_answers_and_how_many() -> None:
    assert parse_lifter("confirm") == Need(lifter="confirm", kind=NeedKind.CONFIRMATION)
    assert parse_lifter("approval:finance").quorum == 1
    two = parse_lifter("approval:finance:2")
    assert (two.group, two.quorum, two.kind) == ("finance", 2, NeedKind.APPROVAL)


@pytest.mark.parametrize(
    "lifter",
    ["", "approval", "approval:", "approval:*", "approval:finance:0", "approval:finance:10", "confirm:bob",
     "step-up:acr", "evidence:ticket", "approval:finance\n", "always"],
)  # fmt: skip  # a list of words reads better as words
def test_what_can_not_be_given_lifts_nothing(lifter: str) -> None:
    with pytest.raises(UnliftableError) as told:
        parse_lifter(lifter)
    assert f"`{lifter}`" in told.value.message


def test_an_operand_says_all_that_its_kind_says_and_nothing_more() -> None:
    with pytest.raises(UnreadableQuestionError, match="a probe of kind `file` says"):
        Operand(place="/file", kind=ProbeKind.FILE, found=(("path", "/srv/a"),))
    with pytest.raises(UnreadableQuestionError):
        Operand(place="/file", kind=ProbeKind.REVISION, found=operand().found)


@pytest.mark.parametrize(
    ("now", "words"),
    [
        ((operand(),), ""),
        ((operand(sha256="00" * 32),), "the sha256 behind `/file`"),
        ((operand(path="/srv/elsewhere"),), "the path behind `/file`"),
        ((operand(inode="1"),), "the inode behind `/file`"),
        ((), "`/file` is looked at in another way"),
    ],
)
def test_what_changed_behind_an_argument_is_named(now: tuple[Operand, ...], words: str) -> None:
    assert differing((operand(),), now) == words

"""The corpus G10, and the display tricks of G2, played against the real flows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from taskbound.core.approval import parse_question
from taskbound.core.approval.sheet import Sheet, render_sheet
from taskbound.surfaces.api.operations.approval import detail_of
from taskbound.surfaces.api.operations.show import sheet_for
from taskbound.surfaces.cli.approval.sheets import sheet_from
from tests.corpus.g10 import WIDE, Case, Stage, cases, policy
from tests.peers.holding import Holding
from tests.sheet_oracle import parse_sheet
from tests.sqlite import sqlite_store
from tests.world import code_of, id_of

if TYPE_CHECKING:
    from collections.abc import Iterator

CASES = {case.id: case for case in cases()}
MUTATIONS = 30
G2 = {
    row["id"]: row
    for row in map(json.loads, Path(__file__).with_name("g2-sheet.jsonl").read_text("ascii").splitlines())
    if not row.get("words")
}


@pytest.fixture
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    case: Case = request.param
    played = Stage(case=case, folder=tmp_path)
    yield played
    played.close()


def test_each_id_stands_once_and_each_number_of_the_outline_has_cases() -> None:
    assert len(CASES) == len(cases())
    assert {name[:4] for name in CASES} == {f"A{number}" for number in range(176, 199)}


def test_each_refused_case_has_one_twin_that_runs_once_more() -> None:
    twins = [case for case in CASES.values() if case.twin_of]
    assert sorted(twin.twin_of for twin in twins) == sorted(
        case.id for case in CASES.values() if not case.twin_of
    )
    for twin in twins:
        assert twin.runs == CASES[twin.twin_of].runs + 1, twin.id
        assert twin.steps != CASES[twin.twin_of].steps or twin.lifter != CASES[twin.twin_of].lifter, twin.id


def test_a176_more_than_thirty_fields_are_changed_one_by_one_and_each_says_why() -> None:
    changed = [case for case in CASES.values() if case.id.startswith("A176") and not case.twin_of]
    assert len({case.reason for case in changed}) == len(changed) > MUTATIONS
    assert all(case.why for case in changed)


@pytest.mark.parametrize("stage", CASES.values(), ids=CASES, indirect=True)
def test_g10_each_step_gets_the_one_answer_that_the_corpus_names_and_no_more_runs(stage: Stage) -> None:
    assert stage.play() == stage.case.expected
    assert len(stage.permits) == stage.case.runs
    assert stage.case.why in stage.why()


@pytest.mark.parametrize("name", G2)
def test_g2_what_an_approver_sees_through_the_flow_is_what_the_corpus_says_and_what_then_runs(
    name: str,
) -> None:
    there = Holding(sqlite_store(), policy("approval:finance"))
    there.task = there.world.start(scope=WIDE)
    arguments = G2[name].get("arguments", {})
    action = id_of(there.world.ask(there.task, arguments=arguments))
    with there.world.store.read() as snapshot:
        found = detail_of(there.world.adapters, snapshot, there.approval(action))
        page = sheet_for(snapshot, there.approval(action))
    of = sheet_from(found, parse_question(found.question.encode()))
    rendered = render_sheet(of)
    assert isinstance(rendered, Sheet)
    assert page == of
    assert '  owner       | "ann"' in rendered.text.splitlines()
    assert set(G2[name]["shows"]) <= set(rendered.text.splitlines())
    assert parse_sheet(rendered.text).arguments == of.arguments
    assert code_of(there.world.ask(there.task, arguments=arguments)) == "hold"
    there.say(action, "bob")
    answer = there.world.ask(there.task, arguments=arguments)
    assert (code_of(answer), id_of(answer)) == ("permit", action)
    with there.world.store.read() as snapshot:
        kept = snapshot.actions.action("default", action)
    assert kept is not None
    assert kept.arguments == of.arguments

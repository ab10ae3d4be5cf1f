from __future__ import annotations

import resource
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from taskbound.adapters.policy.cedar import ApartLanguage, CedarLanguage
from taskbound.core.policy import PolicyTool

FILES = {
    "a.cedar": '@id("a") forbid (principal, action == Taskbound::Action::"s__t", resource)'
    " when { context.arguments has pth };",
    "b.cedar": '@id("a") forbid (principal, action == Taskbound::Action::"s__u", resource);',
}
TOOL = PolicyTool(
    namespace="default",
    name="s__t",
    server="s",
    schema={"type": "object", "properties": {"path": {"type": "string"}}},
    effect="read",
    open_world=False,
)


@pytest.mark.parametrize(
    "files", [FILES, {"a.cedar": FILES["a.cedar"]}, {"a.cedar": "forbid ("}, {"a.cedar": ""}]
)
def test_what_is_examined_apart_has_the_same_problems(files: dict[str, str]) -> None:
    assert ApartLanguage().problems(files, [TOOL]) == CedarLanguage().problems(files, [TOOL])


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import os; os.abort()", "ended"),
        ("import sys; sys.stdin.read(); print('[')", "ended"),
        ("import time; time.sleep(60)", "could not be examined in"),
    ],
)
def test_what_breaks_or_holds_up_the_program_that_reads_it_is_a_problem(program: str, words: str) -> None:
    language = ApartLanguage(patience=0.5, command=(sys.executable, "-c", program))
    (problem,) = language.problems(FILES, [TOOL])
    assert words in problem.words
    assert problem.file == "a.cedar"


def test_a_program_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    (problem,) = ApartLanguage(command=(str(tmp_path / "none"),)).problems(FILES, [TOOL])
    assert "No such file" in problem.words


def test_nothing_of_the_working_directory_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "msgspec.py").write_text("raise SystemExit(3)", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert ApartLanguage().problems({"a.cedar": FILES["a.cedar"]}, [TOOL])[0].policy == "a"


GREEDY = """
from taskbound.adapters.policy.cedar import apart
kept = []
def greedy(files, tools):
    while True:
        kept.append(b"x" * (64 << 20))
apart.problems_of = greedy
apart._main()
"""


def test_what_takes_all_memory_to_examine_is_a_problem_and_takes_no_more_than_its_share() -> None:
    language = ApartLanguage(command=(sys.executable, "-c", GREEDY))
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    (problem,) = language.problems({"a.cedar": FILES["a.cedar"]}, [TOOL])
    assert "the process that reads them ended" in problem.words
    assert max(before, 1 << 20) >= resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss


RULE = (
    '@id("p{0}") forbid (principal, action == Taskbound::Action::"s__t{1}", resource)'
    ' when {{ context.arguments has path && context.arguments.path like "/etc/*" }};'
)


def test_many_policies_for_many_tools_fit_into_the_memory_that_examining_has() -> None:
    tools = [replace(TOOL, name=f"s__t{number}") for number in range(40)]
    rules = [RULE.format(number, number % 40) for number in range(400)]
    assert ApartLanguage().problems({"a.cedar": "\n".join(rules)}, tools) == ()

"""Tests a folder's policies: problems, cases, and what no case covers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from taskbound.core.policy import (
    BadBundleError,
    BadCaseError,
    PolicySyntaxError,
    conclude,
    conclude_within,
    parse_cases,
    request_of,
    require_own,
    text_of,
    whole,
    words_of,
)
from taskbound.core.policy.case import OperationCase
from taskbound.surfaces.cli.policy.sources import pinned_tools
from taskbound.surfaces.cli.screen import Words, shown
from taskbound.wire.document import read_document

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from taskbound.core.policy import PolicyCase, PolicyTool
    from taskbound.ports.policy import PolicyEngine
    from taskbound.surfaces.cli.policy.sources import PolicyFolder
    from taskbound.surfaces.cli.screen import Screen
    from taskbound.surfaces.cli.session import Session
    from taskbound.wire.policy import BundleProblem


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A problem with its place."""

    file: str
    line: int
    column: int
    words: str
    hint: str = ""
    policy: str = ""


class CaseResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one case."""

    file: str
    line: int
    column: int
    name: str
    passed: bool
    answer: str
    """What was answered, in words."""
    missed: str = ""
    """How that is not what was expected."""


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """The results of all cases, and what they cover."""

    results: tuple[CaseResult, ...]
    untried_policies: tuple[str, ...]
    """Policies of the folder that no case was decided by."""
    untried_tools: tuple[str, ...]
    """Tools that no case names."""


def problems_of(
    session: Session, folder: PolicyFolder, tools: Mapping[str, PolicyTool], groups: Collection[str] | None
) -> tuple[Problem, ...]:
    language = session.plugs.policies()
    found = tuple(
        Problem(
            file=one.file,
            line=one.line,
            column=one.column,
            words=one.words,
            hint=one.hint,
            policy=one.policy,
        )
        for one in language.problems(folder.files, tuple(tools.values()), groups)
    )
    if not found:
        engine_of(session, folder)  # with the base, as it would be in force
    return found


def show_problems(screen: Screen, problems: Iterable[Problem | BundleProblem]) -> None:
    for one in problems:
        name = f" policy `{shown(one.policy)}`:" if one.policy else ""
        screen.line(
            f"{shown(one.file)}:{one.line}:{one.column}:{name} {shown(Words(one.words))}"
            + (f" ({shown(Words(one.hint))})" if one.hint else "")
        )


def engine_of(session: Session, folder: PolicyFolder) -> PolicyEngine:
    language = session.plugs.policies()
    base = session.plugs.base_policies() if folder.base is None else folder.base
    try:
        engine = language.engine(text_of(whole(folder.files, base)))
    except PolicySyntaxError as error:
        for one in language.problems(folder.files, ()):
            where = f"{one.file}:{one.line}:{one.column}"
            raise PolicySyntaxError(one.words, where=where, remedy=one.hint) from error
        raise
    require_own(engine.policies, language.engine(base).policies)
    return engine


def cases_of(folder: PolicyFolder) -> Iterator[tuple[str, int, int, PolicyCase | OperationCase]]:
    if not folder.cases:
        raise BadBundleError("the folder has no case", remedy="write one into a `*.cases.yaml`")
    for name, raw in folder.cases.items():
        document = read_document(raw, name)
        with document.pointing():
            cases = parse_cases(document.value)
        for case in cases:
            line, column = document.source.spot(document.find(case.where))
            yield name, line, column, case


def find_case(folder: PolicyFolder, name: str) -> tuple[PolicyCase | OperationCase, str]:
    for file, line, column, case in cases_of(folder):
        if case.name == name:
            return case, f"{file}:{line}:{column}"
    raise BadCaseError(f"no case is named `{shown(name)}`", remedy="name one as its file does")


def tool_of(case: PolicyCase, tools: Mapping[str, PolicyTool], place: str) -> PolicyTool:
    tool = tools.get(case.tool)
    if tool is None:
        raise BadCaseError(
            f"case `{case.name}` is about `{case.tool}`, which is no pinned tool",
            where=place,
            remedy="name a tool of `taskbound tool list`, or give tools with --tools",
        )
    return tool


def try_cases(session: Session, folder: PolicyFolder, told_tools: str) -> Trial:
    engine = engine_of(session, folder)
    tools = pinned_tools(session, folder, told_tools)
    own_base = session.plugs.base_policies() if folder.base is None else folder.base
    base = set(session.plugs.policies().engine(own_base).policies)
    results: list[CaseResult] = []
    tried: set[str] = set()
    named: set[str] = set()
    for file, line, column, case in cases_of(folder):
        if isinstance(case, OperationCase):
            answer = engine.operations.answer(case.request)
            found = conclude(answer)
        else:
            request = request_of(case, tool_of(case, tools, f"{file}:{line}:{column}"))
            answer = engine.answer(request)
            found = conclude_within(case.scope, request, answer)
            named.add(case.tool)
        tried.update(answer.permits)
        tried.update(one.policy for one in answer.forbids)
        tried.update(one.policy for one in answer.erred)
        missed = case.expect.missed(found)
        results.append(
            CaseResult(
                file=file,
                line=line,
                column=column,
                name=case.name,
                passed=not missed,
                answer=words_of(found),
                missed=missed,
            )
        )
    own = [one for one in engine.policies if one not in base]
    return Trial(
        results=tuple(results),
        untried_policies=tuple(one for one in own if one not in tried),
        untried_tools=tuple(sorted(tools.keys() - named)),
    )

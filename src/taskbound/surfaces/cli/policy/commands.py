"""`taskbound policy`: tests policies; nothing here changes what is in force."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from taskbound.core import policy
from taskbound.core.policy.case import OperationCase
from taskbound.surfaces.cli.action import explain_action
from taskbound.surfaces.cli.policy.sources import known_groups, pinned_tools, read_folder, read_rules
from taskbound.surfaces.cli.policy.trying import (
    Problem,
    engine_of,
    find_case,
    problems_of,
    show_problems,
    tool_of,
    try_cases,
)
from taskbound.surfaces.cli.reading import BadInputError, write_file
from taskbound.surfaces.cli.screen import Words, shown
from taskbound.surfaces.cli.session import Session, argument, command, group, option

if TYPE_CHECKING:
    from taskbound.ports.policy import PolicyEngine
    from taskbound.surfaces.cli.policy.sources import PolicyFolder


app = group("policy", "The organisation's rules: tried before they hold, and who put them in force.")

FolderArgument = Annotated[str, argument("FOLDER", "A folder of `*.cedar` and `*.cases.yaml`.")]
RulesArgument = Annotated[
    str, argument("RULES", "A folder of `*.cedar` and `*.cases.yaml`, `in-force`, or a bundle's digest.")
]
ToolsOption = Annotated[
    str,
    option(
        "--tools FILE",
        "Tools as `taskbound tool list --json` prints them, instead of those that are pinned here.",
    ),
]
_SLOW = 100_000
"""Policies times tools from which validation is slow enough to announce."""


class Problems(msgspec.Struct, frozen=True, kw_only=True, tag="policy-problems", tag_field="is"):
    """All problems of a folder's policies."""

    problems: tuple[Problem, ...]


class Formatted(msgspec.Struct, frozen=True, kw_only=True, tag="policy-format", tag_field="is"):
    """The files that are, or were, formatted differently."""

    changed: tuple[str, ...]


class TurnRow(msgspec.Struct, frozen=True, kw_only=True):
    """A change that would lead to another decision."""

    what: str
    change: str
    answer: str


class CaseExplanation(msgspec.Struct, frozen=True, kw_only=True, tag="policy-explanation", tag_field="is"):
    """Why a call is decided as it is."""

    case: str
    answer: str
    grants: tuple[str, ...]
    """The grants of the case's scope that cover it, in words, or what kept the nearest from it."""
    scoped: bool
    """Whether the case says under which scope; otherwise a grant is taken to cover."""
    candidates: tuple[str, ...]
    """The policies whose head fits; the others were not asked."""
    facts: tuple[tuple[str, str], ...]
    """What they read, and what it was."""
    arguments: tuple[str, ...]
    """The arguments that they read."""
    turns: tuple[TurnRow, ...]
    """What would change the answer, each changed alone."""
    whole: bool
    """Whether everything that was read was changed once."""


@command(app, "validate", examples="taskbound policy validate policies")
def validate(session: Session, folder: FolderArgument, tools: ToolsOption = "") -> None:
    """Validate the policies of a folder against the pinned tools.

    Each problem has file, line and column. The status is 0 if there is none, and 1 otherwise.
    """
    found = read_folder(folder)
    known = pinned_tools(session, found, tools)
    if sum(text.count("@id") for text in found.files.values()) * len(known) > _SLOW:
        session.screen.note(f"comparing the policies with {len(known)} tools: this can take a while", "dim")
    groups = known_groups(session, found, tools)
    if groups is None and any("approval:" in text for text in found.files.values()):
        session.screen.note("the groups that `@hold` names were not looked up: no daemon was asked")
    problems = problems_of(session, found, known, groups)
    session.screen.report(Problems(problems=problems))
    show_problems(session.screen, problems)
    if problems:
        raise typer.Exit(1)
    session.screen.line(f"{len(found.files)} files are in order for {len(known)} tools")


@command(app, "test", examples="taskbound policy test policies\ntaskbound policy test in-force")
def try_folder(session: Session, folder: RulesArgument, tools: ToolsOption = "") -> None:
    """Evaluate each case of a folder, and compare the decisions with the expected ones.

    The status is 0 if every case is decided as expected, and 1 otherwise.
    """
    trial = try_cases(session, read_rules(session, folder), tools)
    missed = [one for one in trial.results if not one.passed]
    session.screen.report(trial)
    for one in missed:
        session.screen.line(
            f"{shown(one.file)}:{one.line}:{one.column}: {shown(one.name)}: {shown(Words(one.missed))}",
            "red",
        )
    kept = len(trial.results) - len(missed)
    session.screen.line(f"{kept} of {len(trial.results)} cases are answered as they expect")
    if missed:
        raise typer.Exit(1)


@command(app, "coverage", examples="taskbound policy coverage policies\ntaskbound policy coverage in-force")
def coverage(session: Session, folder: RulesArgument, tools: ToolsOption = "") -> None:
    """List the policies that decided no case, and the tools that no case names.

    The status is 0 if every policy decided a case, and 1 otherwise.
    """
    trial = try_cases(session, read_rules(session, folder), tools)
    session.screen.report(trial)
    session.screen.fields(
        [("untried policies", trial.untried_policies), ("untried tools", trial.untried_tools)]
    )
    if trial.untried_policies:
        raise typer.Exit(1)


@command(app, "fmt", examples="taskbound policy fmt policies\ntaskbound policy fmt policies --check")
def format_files(
    session: Session,
    folder: FolderArgument,
    check: Annotated[bool, option("--check", "Change nothing; status 1 if one would be.")] = False,
) -> None:
    """Write the policies of a folder in the standard layout."""
    found = read_folder(folder)
    engine_of(session, found)  # an error names file, line and column
    language = session.plugs.policies()
    laid = {name: language.formatted(text) for name, text in found.files.items()}
    changed = tuple(name for name, text in found.files.items() if laid[name] != text)
    if not check:
        for name in changed:
            write_file(str(found.path / name), [laid[name].encode()])
    session.screen.report(Formatted(changed=changed))
    for name in changed:
        session.screen.line(f"{name} {'has another layout' if check else 'was laid out'}")
    if check and changed:
        raise typer.Exit(1)


@command(app, "schema", examples="taskbound policy schema policies > tools.cedarschema")
def schema(session: Session, folder: FolderArgument, tools: ToolsOption = "") -> None:
    """Print the Cedar schema of what policies can read of the pinned tools, for editors."""
    found = read_folder(folder)
    text = session.plugs.policies().vocabulary(tuple(pinned_tools(session, found, tools).values()))
    if session.screen.json:
        session.screen.document({"is": "policy-schema", "schema": text})
    else:
        write_file("-", [text.encode()])


@command(
    app,
    "explain",
    examples='taskbound policy explain policies "deletes are held"\ntaskbound policy explain --action act_…',
)
def explain(
    session: Session,
    folder: Annotated[str, argument("[RULES]", "A folder, `in-force`, or a bundle's digest.")] = "",
    case: Annotated[str, argument("[CASE]", "The case's name.")] = "",
    tools: ToolsOption = "",
    action: Annotated[str, option("--action ACTION", "Instead of a case: what was decided.")] = "",
) -> None:
    """Explain why a case, or an action, is decided as it is, and what would change the decision.

    Shows the grant, the policies, and the facts and arguments that they read. The grant is shown if the case
    has a `scope`; an action has its task's scope.
    """
    if bool(action) == bool(folder or case or tools) or (not action and not case):
        raise BadInputError("name rules and a case, or an action with --action, and not both")
    if action:
        explain_action(session, action)
        return
    answer = _explained(session, read_rules(session, folder), case, tools)
    session.screen.report(answer)
    session.screen.heading(shown(answer.case))
    session.screen.fields(
        [
            ("answer", Words(answer.answer)),
            ("grants", answer.grants if answer.scoped else "one is taken to cover: the case has no scope"),
            ("asked", answer.candidates),
            ("facts read", tuple(f"{name} {value}" for name, value in answer.facts)),
            ("arguments read", answer.arguments),
            ("would change it", tuple(f"{row.change}: {row.answer}" for row in answer.turns)),
        ]
    )
    if not answer.whole:
        session.screen.hint("the policies read more than was tried")


def _explained(session: Session, rules: PolicyFolder, case: str, tools: str) -> CaseExplanation:
    engine = engine_of(session, rules)
    one, place = find_case(rules, case)
    if isinstance(one, OperationCase):
        return _explained_operation(engine, one)
    request = policy.request_of(one, tool_of(one, pinned_tools(session, rules, tools), place))
    trace = engine.trace(request)
    turned = policy.turns_within(one.scope, request, trace, engine.answer)
    grants = policy.grants_for(one.scope, request) if one.scope is not None else None
    return CaseExplanation(
        case=one.name,
        answer=policy.words_of(policy.conclude_within(one.scope, request, engine.answer(request))),
        grants=(grants.covering or grants.nearest) if grants is not None else (),
        scoped=grants is not None,
        candidates=trace.candidates,
        facts=tuple((name, _fact(request.facts[name])) for name in trace.facts),
        arguments=trace.arguments,
        turns=tuple(map(_turn, turned.found)),
        whole=turned.whole,
    )


def _explained_operation(engine: PolicyEngine, case: OperationCase) -> CaseExplanation:
    candidates, facts = engine.operations.looked_at(case.request)
    return CaseExplanation(
        case=case.name,
        answer=policy.words_of(policy.conclude(engine.operations.answer(case.request))),
        grants=(),
        scoped=True,
        candidates=candidates,
        facts=tuple((name, _fact(case.request.facts[name])) for name in facts),
        arguments=(),
        turns=(),
        whole=True,
    )


def _turn(one: policy.Counterfactual) -> TurnRow:
    return TurnRow(what=one.what, change=one.change, answer=one.answer)


def _fact(value: object) -> str:
    if isinstance(value, tuple):
        return "{" + ", ".join(map(str, value)) + "}"
    return str(value).lower() if isinstance(value, bool) else str(value)

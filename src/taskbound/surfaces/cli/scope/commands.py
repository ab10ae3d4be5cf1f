"""`taskbound scope`: explains, compares and converts scopes; nothing is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from taskbound.core.scope import describe
from taskbound.core.scope.algebra import Covers, Direction, covers, difference, intersect
from taskbound.core.scope.review import Weight, against_pinned, breadth, never
from taskbound.core.scope.schema import grant_schema, scope_schema
from taskbound.core.scope.show import show
from taskbound.surfaces.cli.reading import BadInputError, write_file
from taskbound.surfaces.cli.scope.reports import (
    CheckReport,
    CoversReport,
    DiffReport,
    DigestReport,
    DroppedRow,
    IntersectReport,
    UncoveredRow,
    change_row,
    put,
    remark_row,
    schema_as_text,
    scope_as_json,
    scope_as_yaml,
    share_row,
)
from taskbound.surfaces.cli.scope.sources import find_scope, find_tools
from taskbound.surfaces.cli.scope.suggest import add_suggest
from taskbound.surfaces.cli.screen import Words, shown
from taskbound.surfaces.cli.session import Session, command, group, option
from taskbound.wire.document import Format

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.scope.algebra import Change, Difference
    from taskbound.core.scope.review import Remark
    from taskbound.surfaces.cli.screen import Screen


app = group("scope", "What a scope permits and never can, and how two of them compare.")

_FILE: Final = "A file, `-`, template:NAME, task:ID or agent:NAME."
_FOUND: Final = 1
_DIRECTIONS: Final = {
    Direction.SAME: "the same: each permits what the other does",
    Direction.NARROWER: "narrower: the new scope permits nothing that the old one doesn't",
    Direction.WIDER: "wider: the new scope permits all that the old one does, and more",
    Direction.OTHER: "other: neither is shown to permit all that the other does",
}


def _completed(text: str) -> list[str]:
    return [one for one in ("template:", "task:", "agent:") if one.startswith(text)]


def _argument(name: str, text: str) -> typer.models.ArgumentInfo:
    found: typer.models.ArgumentInfo = typer.Argument(
        metavar=name, help=text, show_default=False, autocompletion=_completed
    )
    return found


FileArgument = Annotated[str, _argument("FILE", _FILE)]
FirstArgument = Annotated[str, _argument("FIRST", _FILE)]
SecondArgument = Annotated[str, _argument("SECOND", "The same.")]
OutOption = Annotated[str, option("--out FILE", "Write it there.")]


@command(
    app,
    "check",
    examples="taskbound scope check scope.yaml\ntaskbound scope check agent:helper\n"
    "taskbound scope check scope.yaml --offline --strict --json",
)
def check(
    session: Session,
    file: FileArgument,
    tool_definitions: Annotated[
        str, option("--tool-definitions FILE", "Tools as `tool list --json` has them, not the pinned.")
    ] = "",
    offline: Annotated[bool, option("--offline", "Ask no daemon for the pinned tools.")] = False,
    strict: Annotated[bool, option("--strict", "End with 1 for breadth too.")] = False,
) -> None:
    """Explain what a scope permits and can't permit, how broad it is, and likely mistakes."""
    given = find_scope(session, file)
    tools = find_tools(session, tool_definitions, offline=offline)
    scope = given.scope
    remarks = breadth(scope)
    if tools is not None:
        remarks += against_pinned(scope, tools.definitions, tools.declared)
    report = CheckReport(
        name=given.name,
        digest=scope.digest,
        grants=len(scope.grants),
        steps=len(scope.steps),
        tools=tools is not None,
        permits=describe(scope),
        never=never(scope, None if tools is None else tools.definitions),
        remarks=tuple(remark_row(one, given.spot(one.grant, one.path)) for one in remarks),
    )
    session.screen.report(report)
    _show_check(session.screen, report, remarks)
    if any(strict or one.weight is Weight.MISTAKE for one in remarks):
        raise typer.Exit(_FOUND)


@command(
    app,
    "diff",
    examples="taskbound scope diff scope.yaml new-scope.yaml\n"
    "taskbound scope diff template:reading scope.yaml --json",
)
def diff(
    session: Session,
    old: Annotated[str, _argument("OLD", _FILE)],
    new: Annotated[str, _argument("NEW", "The same.")],
) -> None:
    """Compare two scopes: same, narrower, wider or different, with a call that distinguishes them."""
    one, two = find_scope(session, old).scope, find_scope(session, new).scope
    found = difference(one, two)
    session.screen.report(
        DiffReport(
            direction=found.direction.value,
            old=one.digest,
            new=two.digest,
            added=tuple(map(change_row, found.added)),
            removed=tuple(map(change_row, found.removed)),
        )
    )
    show_difference(session.screen, found)
    if found.direction not in {Direction.SAME, Direction.NARROWER}:
        raise typer.Exit(_FOUND)


@command(
    app,
    "covers",
    examples="taskbound scope covers agent:helper scope.yaml\ntaskbound scope covers task:tsk_… child.yaml",
)
def is_covered(
    session: Session,
    parent: Annotated[str, _argument("PARENT", _FILE)],
    child: Annotated[str, _argument("CHILD", "The same.")],
) -> None:
    """Check whether a scope permits all that another does, limits included; yes is a proof."""
    one, two = find_scope(session, parent).scope, find_scope(session, child).scope
    answer = covers(one, two)
    if isinstance(answer, Covers):
        shares = tuple(map(share_row, answer.shares))
        session.screen.report(CoversReport(covers=True, shares=shares, uncovered=()))
        session.screen.heading("yes: whatever the child permits, the parent permits")
        for share in answer.shares:
            taken = ", ".join(f"{amount} of {limit}" for limit, amount in share.taken) or "no limit of it"
            session.screen.fields([(f"  {share.child} by {share.parent}", Words(shown(f"takes {taken}")))])
    else:
        lacking = tuple(
            UncoveredRow(grant=each.grant, tool=each.tool, nearest=each.nearest or "", text=each.sentence)
            for each in answer.uncovered
        )
        session.screen.report(CoversReport(covers=False, shares=(), uncovered=lacking))
        session.screen.heading("not shown: the child may permit what the parent doesn't")
        session.screen.fields([("  because", tuple(map(Words, answer.sentences)))])
        raise typer.Exit(_FOUND)


@command(
    app,
    "intersect",
    examples="taskbound scope intersect scope.yaml agent:helper\n"
    "taskbound scope intersect a.yaml b.yaml --out both.yaml",
)
def overlap(session: Session, first: FirstArgument, second: SecondArgument, out: OutOption = "") -> None:
    """Write the intersection of two scopes as YAML; what can't be expressed exactly is left out."""
    found = intersect(find_scope(session, first).scope, find_scope(session, second).scope)
    session.screen.report(
        IntersectReport(
            scope=None if found.scope is None else msgspec.Raw(found.scope.canonical),
            digest="" if found.scope is None else found.scope.digest,
            dropped=tuple(msgspec.convert(one, DroppedRow, from_attributes=True) for one in found.dropped),
        )
    )
    for one in found.dropped:
        session.screen.hint(f"left out: {one.first} with {one.second}: {shown(Words(one.reason))}")
    if found.scope is None:
        session.screen.line("nothing is permitted by both")
        raise typer.Exit(_FOUND)
    if not session.screen.json:
        put(session, scope_as_yaml(found.scope), out)
    elif out:
        write_file(out, [scope_as_yaml(found.scope)])


@command(
    app,
    "convert",
    examples="taskbound scope convert scope.json --out scope.yaml\n"
    "taskbound scope convert scope.yaml --to json\ntaskbound scope convert template:reading",
)
def convert(
    session: Session,
    file: FileArgument,
    to: Annotated[
        str,
        option(
            "--to FORMAT",
            "yaml or json; else the other one.",
            autocompletion=lambda: [one.value for one in Format],
        ),
    ] = "",
    out: OutOption = "",
) -> None:
    """Convert a scope to YAML or canonical JSON; the digest stays the same."""
    given = find_scope(session, file)
    if to not in {"", *(one.value for one in Format)}:
        raise BadInputError(f"`{shown(to)}` is no format", remedy="use `--to yaml` or `--to json`")
    was = Format.JSON if given.document is None else given.document.format
    form = Format(to) if to else (Format.YAML if was is Format.JSON else Format.JSON)
    if session.screen.json and not out:
        session.screen.document(msgspec.Raw(given.scope.canonical))
        return
    put(session, scope_as_yaml(given.scope) if form is Format.YAML else scope_as_json(given.scope), out)


@command(app, "digest", examples="taskbound scope digest scope.yaml")
def digest(session: Session, file: FileArgument) -> None:
    """Print a scope's digest; scopes with the same meaning have the same digest."""
    given = find_scope(session, file)
    session.screen.report(DigestReport(name=given.name, digest=given.scope.digest))
    session.screen.word(given.scope.digest)


@command(
    app, "schema", examples="taskbound scope schema --out scope.schema.json\ntaskbound scope schema --grant"
)
def schema(
    session: Session,
    grant: Annotated[bool, option("--grant", "Of one grant, not of a whole scope.")] = False,
    out: OutOption = "",
) -> None:
    """Print the JSON Schema of scopes, for completion in editors.

    In YAML: `# yaml-language-server: $schema=scope.schema.json` in the first line.
    """
    found = grant_schema() if grant else scope_schema()
    if session.screen.json and not out:
        session.screen.document(found)
        return
    put(session, schema_as_text(found), out)


add_suggest(app)


def _show_check(screen: Screen, report: CheckReport, remarks: Sequence[Remark]) -> None:
    screen.heading(f"{shown(report.name)}: {report.grants} grants")
    screen.fields([("digest", report.digest), ("permits", tuple(map(Words, report.permits)))])
    screen.fields([("never", tuple(map(Words, report.never)))])
    for one, row in zip(remarks, report.remarks, strict=True):
        word = "bad" if one.weight is Weight.MISTAKE else "wide"
        where = f" ({shown(row.where.rpartition('/')[2])})" if row.where else ""
        screen.status(word, Words(f"{one.sentence}{where}"))
    if not remarks:
        screen.status("ok", "nothing is wide open" + ("" if report.tools else "; no tools were at hand"))


def show_difference(screen: Screen, found: Difference) -> None:
    screen.heading(_DIRECTIONS[found.direction])
    _show_changes(screen, "new", "old", found.added)
    _show_changes(screen, "old", "new", found.removed)


def _show_changes(screen: Screen, ours: str, theirs: str, changes: Sequence[Change]) -> None:
    for one in changes:
        tool = f"{ours} {one.grant.id} (`{one.grant.tool}`)"
        if one.against is None:
            words = f"the {theirs} scope doesn't name the tool"
        elif one.gaps:
            gaps = "; ".join(gap.sentence for gap in one.gaps)
            words = f"more than {theirs} {one.against.id}, which is nearest: {gaps}"
        else:
            words = f"more than the {theirs} scope's limits leave for it"
        screen.status("+" if ours == "new" else "-", Words(f"{tool}: {words}"))
        if one.example is not None:
            screen.fields([("      only here", Words(f"`{show(one.example)}`"))])

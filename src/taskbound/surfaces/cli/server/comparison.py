"""`taskbound upstream test`: compares pinned servers with their pins, one at a time, without a call."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from taskbound.core.errors import MalformedError, TaskboundError
from taskbound.core.tool import parse_definitions
from taskbound.surfaces.cli.errors import fault_of
from taskbound.surfaces.cli.reading import BadInputError
from taskbound.surfaces.cli.screen import Words, shown
from taskbound.surfaces.cli.server.upstream import app
from taskbound.surfaces.cli.session import Session, argument, command, option
from taskbound.wire import tool as wire

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskbound.surfaces.cli.plugs import ServerInspection
    from taskbound.surfaces.cli.screen import Screen


class ToolDifference(msgspec.Struct, frozen=True, kw_only=True):
    """A tool that differs from its pin."""

    tool: str
    state: str
    """`text-changed` (the pinned text is served), `schema-changed` or `gone` (calls refuse)."""
    words: tuple[str, ...]
    """What differs, escaped."""


class UpstreamTest(msgspec.Struct, frozen=True, kw_only=True):
    """The test of one pinned server."""

    name: str
    state: str
    """`as pinned`, `differs` or `failed`."""
    code: str = ""
    """Why it failed, as an error's stable code."""
    why: str = ""
    """Why it failed."""
    era: str = ""
    key: str = ""
    """SHA-256 of the public key that it showed; empty without TLS."""
    key_pinned: str = ""
    """`yes` or `no`; empty without TLS."""
    answered: float = 0.0
    """Seconds until it was ready for calls."""
    listed: float = 0.0
    """Seconds until all of its lists were read, and it was ended."""
    tools: int = 0
    resources: int = 0
    templates: int = 0
    prompts: int = 0
    differences: tuple[ToolDifference, ...] = ()
    new: tuple[str, ...] = ()
    """What it offers and is not pinned: out of reach."""


class UpstreamTests(msgspec.Struct, frozen=True, kw_only=True, tag="upstream-tests", tag_field="is"):
    """The tests of pinned servers."""

    rows: tuple[UpstreamTest, ...]


@command(
    app,
    "test",
    examples="taskbound upstream test git\ntaskbound upstream test --all --json",
)
def look(
    session: Session,
    names: Annotated[list[str] | None, argument("NAME...", "The servers' names.")] = None,
    *,
    every: Annotated[bool, option("--all", "Every pinned server.")] = False,
) -> None:
    """Start or reach pinned servers as a gateway would, and compare their offers with the pins.

    No tool is called, and each server is ended. Differences are recorded as when a gateway sees them: a tool
    whose schema changed is refused until a person accepts it. The status is 0 if nothing differs, 1 if
    something does, and the error's status if a server can't be tested. The egress starts servers with slots.
    Only a person may: it is refused from inside a gateway or a `taskbound run`.
    """
    rows = {one.spec.name: one.spec for one in session.ask(wire.ListUpstreams(), wire.UpstreamRows).rows}
    if every == bool(names):
        raise BadInputError("it is not said which servers", remedy="name some, or say `--all`")
    missing = next((one for one in names or () if one not in rows), None)
    if missing is not None:
        raise BadInputError(
            f"no server `{shown(missing)}` is pinned",
            remedy="see `taskbound upstream list` for those that are",
        )
    found = []
    errors = []
    for name in rows if every else dict.fromkeys(names or ()):
        try:
            tested = _test(session, rows[name])
        except TaskboundError as error:
            fault = fault_of(error)
            errors.append(error)
            tested = UpstreamTest(name=name, state="failed", code=fault.code, why=fault.message)
        found.append(tested)
        _show_test(session.screen, tested)
    session.screen.report(UpstreamTests(rows=tuple(found)))
    if not found:
        session.screen.line(
            "no servers are pinned; add one with `taskbound upstream add` or `taskbound init`"
        )
    if errors:
        raise errors[0]
    if any(one.state == "differs" for one in found):
        raise typer.Exit(1)


def _test(session: Session, spec: wire.ServerSpec) -> UpstreamTest:
    pinned = {one.name for one in session.ask(wire.ListTools(server=spec.name), wire.ToolRows).rows}
    looked = session.plugs.look(session.place, spec, session.namespace)
    ask = wire.SeeTools(
        server=spec.name,
        identity=looked.identity,
        definitions=tuple(map(msgspec.Raw, looked.definitions)),
        methods=looked.methods,
    )
    seen = [
        session.ask(wire.DiffTool(name=tool), wire.ToolDiff)
        for tool, _, _ in session.ask(ask, wire.Seen).differences
    ]
    new = sorted({f"{spec.name}__{one}" for one in _names(looked, spec.name)} - pinned)
    return UpstreamTest(
        name=spec.name,
        state="differs" if seen or new else "as pinned",
        era=spec.era,
        key=looked.key,
        key_pinned="yes" if spec.key else "no" if looked.key else "",
        answered=round(looked.answered, 3),
        listed=round(looked.listed, 3),
        tools=len(looked.definitions),
        prompts=looked.entries.get("prompts/list", 0),
        resources=looked.entries.get("resources/list", 0),
        templates=looked.entries.get("resources/templates/list", 0),
        differences=tuple(
            ToolDifference(tool=tool.name, state=tool.state, words=tool.differences) for tool in seen
        ),
        new=tuple(new),
    )


def _names(looked: ServerInspection, server: str) -> Iterator[str]:
    with suppress(MalformedError):
        yield from (one.name for one in parse_definitions(looked.definitions, server=server))
    yield from looked.methods


def _show_test(screen: Screen, one: UpstreamTest) -> None:
    screen.heading(shown(one.name))
    if one.why:
        screen.fields([("state", one.state), ("why", Words(one.why))])
        return
    offers = f"{one.tools} tools, {one.resources} resources, {one.templates} templates, {one.prompts} prompts"
    fields: list[tuple[str, str | Sequence[str]]] = [
        ("state", one.state),
        ("speaks", f"MCP {one.era}"),
        ("answered", f"after {one.answered:.3f} s; all was listed after {one.listed:.3f} s"),
        ("offers", offers),
    ]
    if one.key:
        fields.append(("key", f"{one.key} ({'pinned' if one.key_pinned == 'yes' else 'not pinned'})"))
    fields += [(tool.state, (tool.tool, *map(Words, tool.words))) for tool in one.differences]
    if one.new:
        fields.append(("new", one.new))
    screen.fields(fields)
    if one.differences:
        screen.note("look with `taskbound tool diff`, and pin what you agree to with `taskbound tool accept`")
    if one.new:
        screen.note("what is new is out of reach until the server is removed and added again")

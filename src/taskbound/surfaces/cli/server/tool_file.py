"""Tool files: exactly the shown changes are applied, and text from a server appears as escaped names only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from taskbound.core.errors import DeniedError
from taskbound.core.tool import credential_kind, parse_definition
from taskbound.core.tool.file import parse_tool_file
from taskbound.core.tool.file.describe import describe_tool
from taskbound.core.tool.file.parse import tool_file_schema
from taskbound.surfaces.cli.reading import BadInputError, read_file
from taskbound.surfaces.cli.ready import MARK, find_ready, package_of, read_ready
from taskbound.surfaces.cli.scope.reports import put, schema_as_text
from taskbound.surfaces.cli.screen import shown
from taskbound.surfaces.cli.session import Session, argument, command, option
from taskbound.wire import tool as wire
from taskbound.wire.document import read_document, write_yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.tool.file import Role, ToolFile
    from taskbound.core.tool.file.describe import Proposal


RelaxOption = Annotated[bool, option("--relax", "What relaxes is meant: say it once you have looked at it.")]
_SEPARATOR: Final = "__"


class SlotsNotPinnedError(DeniedError):
    """A tool file names slots that its server is not pinned with."""

    code = "slots-not-pinned"
    remedy = (
        "a slot is part of the pin: `taskbound upstream remove SERVER`, then `taskbound upstream add SERVER"
        " --tools FILE` with its command or URL"
    )


def add_file_commands(app: typer.Typer) -> None:
    command(
        app,
        "apply",
        asks=True,
        examples="taskbound tool apply git.yaml\ntaskbound tool apply git.yaml --server git-work --relax\n"
        "taskbound tool apply ready:git",
    )(apply)
    command(
        app,
        "describe",
        examples="taskbound tool describe git\ntaskbound tool describe git --out git.yaml",
    )(describe)
    command(app, "schema", examples="taskbound tool schema --out tool-file.schema.json")(schema)


def apply(
    session: Session,
    file: Annotated[str, argument("FILE", "The tool file; `-` reads, `ready:NAME` comes with Taskbound.")],
    *,
    server: Annotated[str, option("--server NAME", "For this server, where the file fits several.")] = "",
    relax: RelaxOption = False,
) -> None:
    """Declare all that a tool file says of a server's tools, or nothing.

    Changes are shown first. Changes that relax are marked and need `--relax`.
    Only a person may: it is refused from inside a gateway or a `taskbound run`.
    """
    found = read_tool_file(file)
    name = _server_of(session, found, server)
    done = apply_to(session, found, name, relax=relax, ask=True)
    session.screen.report(done)


def apply_to(session: Session, file: ToolFile, server: str, *, relax: bool, ask: bool) -> wire.ToolChanges:
    """`relax` permits relaxing changes. Without `ask`, naming the file was the user's confirmation."""
    _require_slots(session, file, server)
    saying = wire.ApplyTools(server=server, tools=tuple(_said(file, server)), shareable=file.shareable)
    seen = session.ask(saying, wire.ToolChanges)
    loose = sum(one.relaxes for one in seen.rows)
    _show(session, seen)
    if loose and not relax:
        session.screen.hint(f"{loose} of these relax what holds now; nothing of it was declared", "yellow")
    if ask and seen.rows and (relax or not loose):
        session.confirm(f"Declare this of the tools of {shown(server)}?")
    done = session.ask(msgspec.structs.replace(saying, agreed=seen.digest, relax=relax), wire.ToolChanges)
    count = len({one.tool for one in done.rows if one.what != "shareable"})
    session.screen.line(
        f"{count} tools of {shown(server)} are declared anew"
        if done.rows
        else f"the tools of {shown(server)} are declared so already"
    )
    return done


def describe(
    session: Session,
    server: Annotated[str, argument("SERVER", "A pinned server.")],
    *,
    out: Annotated[str, option("--out FILE", "Write it there.")] = "",
) -> None:
    """Propose a tool file for a pinned server from its tools' own descriptions.

    Applying it unchanged relaxes nothing: effects are those that hold without a file. Argument roles are
    guessed, with the reason as a comment; review it before use.
    """
    rows = session.ask(wire.ListTools(server=server), wire.ToolRows).rows
    if not rows:
        raise BadInputError(f"the server `{shown(server)}` has no tools, so there is nothing to describe")
    if any(credential_kind(one.name) is not None for one in rows):
        raise BadInputError(
            f"`{shown(server)}` is a target: what its kinds of credentials may do stands in its own file",
            remedy="see it with `taskbound target list`",
        )
    proposals = [describe_tool(parse_definition(bytes(one.raw))) for one in rows]
    owners = tuple(one.owner for one in rows)
    upstreams = session.ask(wire.ListUpstreams(), wire.UpstreamRows).rows
    slots = [slot for one in upstreams if one.spec.name == server for slot in one.spec.slots]
    if session.screen.json and not out:
        session.screen.document(_value(server, proposals, slots, owners))
        return
    put(session, written(server, proposals, slots, owners), out)


def schema(
    session: Session,
    out: Annotated[str, option("--out FILE", "Write it there.")] = "",
) -> None:
    """Print the JSON Schema of tool files, for completion in editors.

    In YAML: `# yaml-language-server: $schema=tool-file.schema.json` in the first line.
    """
    found = tool_file_schema()
    if session.screen.json and not out:
        session.screen.document(found)
        return
    put(session, schema_as_text(found), out)


def read_tool_file(name: str) -> ToolFile:
    if name.startswith(MARK):
        return read_ready(name.removeprefix(MARK))
    document = read_document(read_file(name), name)
    with document.pointing():
        return parse_tool_file(document.value)


def written(
    server: str, proposals: Sequence[Proposal], slots: Sequence[str] = (), owners: Sequence[str] = ()
) -> bytes:
    lines = [
        "# Proposed from what the server's tools say of themselves. Applied as it is, it loosens nothing.",
        "# yaml-language-server: $schema=tool-file.schema.json",
        *write_yaml({"server": server}).splitlines(),
        *(write_yaml({"slots": [*slots]}).splitlines() if slots else ()),
        "tools:",
    ]
    named: Sequence[str | None] = owners or [None] * len(proposals)
    for one, owner in zip(proposals, named, strict=True):
        lines.append(f"  {_key(one.name)}:")
        if owner is not None:
            lines.append(f"    {_line({'owner': owner})}" if owner else "    # owner: no owner")
        lines.append(f"    effect: {one.effect.value}  # {one.why}")
        known = [guess for guess in one.roles if guess.role is not None]
        lines.append("    roles:" if known else "    roles: {}")
        lines += [f"      {_line({guess.argument: _word(guess.role)})}  # {guess.why}" for guess in known]
        lines += [
            f"      # {shown(guess.argument)}: {guess.why}, so it counts as worth a limit"
            for guess in one.roles
            if guess.role is None
        ]
    raw = ("\n".join(lines) + "\n").encode()
    parse_tool_file(read_document(raw, "tools.yaml").value)
    return raw


def _server_of(session: Session, file: ToolFile, told: str) -> str:
    specs = [one.spec for one in session.ask(wire.ListUpstreams(), wire.UpstreamRows).rows]
    fitting = [one.name for one in specs if is_for(file, one) and told in {"", one.name}]
    if len(fitting) == 1:
        return fitting[0]
    if told and told in {one.name for one in specs}:
        raise BadInputError(f"the file is for {_meant(file)}, and not for the server `{shown(told)}`")
    if not fitting:
        raise BadInputError(
            f"no server is pinned that is called `{shown(told)}`"
            if told
            else f"no server is pinned that the file is for: {_meant(file)}",
            remedy="list them with `taskbound upstream list`",
        )
    raise BadInputError(
        f"the file fits {', '.join(map(shown, fitting))}", remedy="say which is meant with `--server`"
    )


def is_for(file: ToolFile, spec: wire.ServerSpec) -> bool:
    package = package_of(spec)
    known = file.package is None or (package is not None and file.package.has(package))
    return known and file.fits(spec.name)


def name_ready(session: Session, specs: Iterable[wire.ServerSpec]) -> None:
    found = [(spec.name, ready[0]) for spec in specs if (ready := find_ready(spec)) is not None]
    if not found:
        return
    what = "a tool file knows this server" if len(found) == 1 else "tool files know these servers"
    session.screen.note(f"{what}; see what would change with:", "")
    for name, file in found:
        session.screen.note(f"  taskbound tool apply {MARK}{file} --server {name}", "")


def _require_slots(session: Session, file: ToolFile, server: str) -> None:
    rows = session.ask(wire.ListUpstreams(), wire.UpstreamRows).rows if file.slots else ()
    pinned = {slot for one in rows if one.spec.name == server for slot in one.spec.slots}
    lacking = [one for one in file.slots if one not in pinned]
    if lacking:
        raise SlotsNotPinnedError(f"`{shown(server)}` is pinned without {', '.join(map(shown, lacking))}")


def _meant(file: ToolFile) -> str:
    of = file.package
    names = "" if file.server == "*" else f"`{shown(file.server)}`"
    if of is None:
        return names or "any server"
    release = f"{shown(of.name)} from {of.first} on and before {of.before} ({of.registry})"
    return f"{names} of {release}" if names else release


def _said(file: ToolFile, server: str) -> Iterator[wire.ToolSaid]:
    for one in file.tools:
        yield wire.ToolSaid(
            name=f"{server}{_SEPARATOR}{one.name}",
            effect=None if one.effect is None else one.effect.value,
            roles=one.roles,
            idempotent=one.idempotent,
            outcome=None if one.unwatched is None else "unwatched" if one.unwatched else "watched",
            probes=one.probes,
            checks=one.checks,
            approvers=one.approvers,
            owner=one.owner,
        )


def _show(session: Session, found: wire.ToolChanges) -> None:
    """Print every change in full: a table would cut what the user agrees to."""
    if not found.rows:
        session.screen.line("nothing changes")
    for one in found.rows:
        session.screen.heading(f"{shown(one.tool)}: {shown(one.what)}{' RELAXES' if one.relaxes else ''}")
        session.screen.fields([("until now", one.before), ("from now on", one.after)])


def _value(
    server: str, proposals: Sequence[Proposal], slots: Sequence[str], owners: Sequence[str]
) -> JsonValue:
    named: dict[str, JsonValue] = {"slots": [*slots]} if slots else {}
    return {
        "server": server,
        **named,
        "tools": {
            one.name: {
                **({"owner": owner} if owner else {}),
                "effect": one.effect.value,
                "roles": {guess.argument: guess.role.value for guess in one.roles if guess.role is not None},
            }
            for one, owner in zip(proposals, owners, strict=True)
        },
    }


def _key(name: str) -> str:
    return _line({name: ""}).removesuffix(': ""')


def _line(value: JsonValue) -> str:
    return write_yaml(value).rstrip("\n")


def _word(role: Role | None) -> str:
    return "" if role is None else role.value

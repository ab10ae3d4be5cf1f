"""`taskbound init`: finds MCP servers in client configurations and gates the chosen ones.

1. Nothing is changed before the person has seen and confirmed everything; configurations come last.
2. Existing items that are the same are kept; existing items that differ are refused.
3. Every server that stays outside the gateway is named.
4. A configuration that changed since it was read is left and reported; the others go on.
"""

from __future__ import annotations

import getpass
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from taskbound.surfaces.cli.clients.entries import plan_gates
from taskbound.surfaces.cli.clients.undo import Applied, Planned, apply
from taskbound.surfaces.cli.init.choices import (
    Bypassing,
    Choice,
    OtherCeilingError,
    bypassing,
    choose_name,
    choose_roots,
    choose_servers,
    choose_template,
    choose_tools,
    probe_servers,
)
from taskbound.surfaces.cli.init.scope import build_scope, parse_root
from taskbound.surfaces.cli.init.undo import (
    FileLeft,
    files_left,
    forget_originals,
    put_back,
    raise_for,
)
from taskbound.surfaces.cli.pages import with_pages
from taskbound.surfaces.cli.people.identity import activate_agent, deliver_code, take_code
from taskbound.surfaces.cli.reading import BadInputError, parse_seconds, write_file
from taskbound.surfaces.cli.screen import Words, shown
from taskbound.surfaces.cli.server.secret import fill_slots
from taskbound.surfaces.cli.server.tool_file import name_ready
from taskbound.surfaces.cli.server.upstream import add_probed
from taskbound.surfaces.cli.session import Session, command, option
from taskbound.wire import identity as wire
from taskbound.wire.connection import BeginInit, Done
from taskbound.wire.task import ListTemplates, SaveTemplate, TemplateRows
from taskbound.wire.tool import ListUpstreams, UpstreamRows

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence

    from taskbound.core.scope import Scope
    from taskbound.surfaces.cli.init.scope import Offer
    from taskbound.wire.tool import ServerSpec


def say_onward(session: Session, *, agent: str, state: str, monitor: str, run: str) -> None:
    screen = session.screen
    if state == "active":
        screen.line("Done. Restart the clients, and start work with:")
    else:
        screen.line(f"A code went to {shown(monitor)}. Nothing is permitted until you give it back:")
        screen.line(f"  taskbound agent activate {agent} --code CODE")
        screen.line("Then restart the clients, and start work with:")
    screen.line(f"  taskbound run {run}-- COMMAND")
    if session.place.socket or session.place.api:  # 1
        return
    screen.line(
        with_pages(
            "For agents over the network, end the daemon that runs now, and start it with its API"
            " (docs/guides/network-api.md):"
        )
    )
    screen.line("  taskbound serve --end")
    screen.line("  taskbound serve")


def say_elsewhere(session: Session) -> None:
    session.screen.line("Look with `taskbound try -- SERVER`, or add one with `taskbound upstream add`.")
    session.screen.line(
        with_pages(
            "A program of your own (docs/guides/sdk.md) and agents over the network"
            " (docs/guides/network-api.md) need no client: start the daemon with `taskbound serve`."
        )
    )


_AGENT: Final = "assistant"
_TEMPLATE: Final = "default"
_SLUG: Final = re.compile(r"[^a-z0-9]+")


class FileChange(msgspec.Struct, frozen=True, kw_only=True):
    """The difference that a configuration gets."""

    path: str
    difference: tuple[str, ...]
    """Lines of a unified difference of its servers; no secret is in it."""


class InitReport(msgspec.Struct, frozen=True, kw_only=True, tag="initialized", tag_field="is"):
    """The result of `init`."""

    home: str
    agent: str
    state: str
    """Of the agent; until it is active nothing is permitted. `planned` when nothing was done."""
    template: str
    person: str
    servers: tuple[str, ...]
    tools: tuple[str, ...]
    roots: tuple[str, ...]
    limited: tuple[str, ...]
    """Places of arguments that are limited to the roots or to addresses of the web, as TOOL: PLACE."""
    in_doubt: tuple[str, ...]
    """Places that may hold paths and are not limited."""
    rewritten: tuple[str, ...]
    """The configurations."""
    changes: tuple[FileChange, ...]
    left: tuple[FileLeft, ...]
    bypassing: tuple[Bypassing, ...]
    looked: tuple[str, ...]
    """Where configurations were looked for, as CLIENT: FILE."""
    stored_variables: tuple[str, ...]
    """Variables whose values are stored with the pinned servers, as SERVER.NAME."""
    sealed: tuple[str, ...]
    """Slots whose values were in the configurations and are sealed now, as SERVER.KIND:NAME; those that
    would be while the state is `planned`."""
    monitor: str


def add_init(app: typer.Typer) -> None:
    command(
        app,
        "init",
        asks=True,
        examples="taskbound init\n"
        "taskbound init --yes --server git --tool git__git_log --root ~/work --monitor file:/srv/monitor\n"
        "taskbound init --dry-run --no-root\n"
        "taskbound init --undo",
    )(init)


ConfigOption = Annotated[
    list[str] | None, option("--config FILE", "A further configuration to look at. Repeatable.")
]
ServerOption = Annotated[list[str] | None, option("--server", "Gate this server, and no other. Repeatable.")]
ToolOption = Annotated[
    list[str] | None, option("--tool SERVER__TOOL", "Allow this tool, and no other. Repeatable.")
]
RootOption = Annotated[
    list[str] | None, option("--root DIR", "Allow paths below it, and no others. Repeatable.")
]
TemplateOption = Annotated[
    str, option("--template", "What the template is called; else `default`, if that is free.")
]
MonitorOption = Annotated[
    str, option("--monitor", "Where news of the agent goes: file:/PATH or exec:/PROGRAM.")
]
DryRunOption = Annotated[bool, option("--dry-run", "Show what would be done, and do nothing of it.")]
ForgetOption = Annotated[
    bool, option("--forget", "Take the kept originals of the configurations away, secrets and all.")
]


def init(
    session: Session,
    *,
    config: ConfigOption = None,
    server: ServerOption = None,
    tool: ToolOption = None,
    root: RootOption = None,
    no_root: Annotated[bool, option("--no-root", "Leave paths free.")] = False,
    agent: Annotated[str, option("--agent", "What the agent is called.")] = "",
    template: TemplateOption = "",
    length: Annotated[str, option("--for TIME", "How long its tasks run.")] = "8h",
    monitor: MonitorOption = "",
    dry_run: DryRunOption = False,
    undo_it: Annotated[bool, option("--undo", "Put the configurations back.")] = False,
    forget_it: ForgetOption = False,
) -> None:
    """Gate the MCP servers of your clients: choose servers, tools and directories.

    You become owner and approver of the agent. Its monitor gets a code that you type back. Configurations are
    rewritten last, after you have seen the differences; `--undo` restores them byte for byte. Each chosen
    server is started or reached once to list its tools, with `--dry-run` too.
    """
    if [undo_it, forget_it, dry_run].count(True) > 1:
        raise BadInputError(
            "`--undo`, `--forget` and `--dry-run` are three things", remedy="give one of them"
        )
    if undo_it or forget_it:
        (put_back if undo_it else forget_originals)(session)
        return
    if not dry_run:
        session.require_outside(BeginInit())
    seconds = parse_seconds(length)  # what can't be is said before anything is asked
    told_roots = [parse_root(one) for one in root or []]
    choice = Choice(agent=agent or session.place.agent or _AGENT, template=template or _TEMPLATE)
    choose_servers(session, choice, [Path(one).absolute() for one in config or []], server)
    if not choice.servers:
        _nothing(session, choice)
        return
    probe_servers(session, choice, strict=bool(server))
    if not choice.servers:
        _nothing(session, choice)
        return
    choose_tools(session, choice, tool, free=no_root)
    choose_roots(session, choice, told_roots, free=no_root)
    scope = build_scope(choice.offers, choice.roots)
    if session.place.home.is_dir():  # before the last question: the name is part of what is agreed to
        choose_name(session, choice, scope)
        choose_template(session, choice, scope, told=bool(template))
    plans = plan_gates(
        (*choice.servers.values(), *choice.twins),
        choice.found,
        agent=choice.agent,
        command=_gateway_command(session, choice.agent),
    )
    _show_choice(session, choice, plans)
    if dry_run:
        _say_planned(session, choice, plans)
        return
    session.confirm("Set this up, and rewrite the configurations?")
    _carry_out(session, choice, scope, plans, monitor=monitor, seconds=seconds)


def _carry_out(
    session: Session, choice: Choice, scope: Scope, plans: Sequence[Planned], *, monitor: str, seconds: int
) -> None:
    session.plugs.make_home(session.place.home)  # 1.
    _require_same(session, choice, scope)
    person = _set_up(session, choice, scope, monitor=monitor, seconds=seconds)
    state = _activate(session, choice.agent)
    applied = apply(session.place.home, plans)
    usual = _write_settings(session, choice)
    _report(session, choice, plans, applied, person=person, state=state, usual=usual)
    raise_for(session, applied.left)  # 4


def _require_same(session: Session, choice: Choice, scope: Scope) -> None:
    for agent in session.ask(wire.ListAgents(), wire.AgentRows).rows:
        if agent.name == choice.agent and bytes(agent.ceiling) != scope.canonical:
            raise OtherCeilingError(f"agent `{agent.name}` is known, and can never pass another scope")
    for template in session.ask(ListTemplates(), TemplateRows).rows:
        if template.name == choice.template and bytes(template.scope) != scope.canonical:
            raise OtherCeilingError(
                f"template `{template.name}` is known, and is another scope",
                remedy="choose another name with `--template`",
            )
    pinned = {row.spec.name: row for row in session.ask(ListUpstreams(), UpstreamRows).rows}
    for name, probed in choice.probed.items():
        row = pinned.get(name)
        # What a person declared of its process since is no other way to start it.
        shareable = row is not None and row.spec.shareable
        if row is not None and row.spec != msgspec.structs.replace(probed.spec, shareable=shareable):
            raise OtherCeilingError(
                f"a server `{name}` is pinned, and starts otherwise than the one that was found",
                remedy=f"remove it first with `taskbound upstream remove {name}`",
            )


def _gateway_command(session: Session, agent: str) -> tuple[str, ...]:
    space = () if session.namespace == "default" else ("--namespace", session.namespace)
    home = str(session.place.home)
    return (*session.plugs.command(), "gateway", "--agent", agent, "--home", home, *space)


def _show_choice(session: Session, choice: Choice, plans: Sequence[Planned]) -> None:
    screen = session.screen
    screen.heading(f"Agent {choice.agent}")
    screen.fields(
        [
            ("servers", tuple(choice.servers)),
            ("may call", tuple(one.name for one in choice.offers)),
            ("paths below", choice.roots or "anywhere"),
            *_limits(choice),
            ("to be sealed", _slots(choice)),
            ("to be rewritten", tuple(one.note.path for one in plans)),
        ]
    )
    reachable = {one.name.partition("__")[0] for one in choice.offers}
    for name in choice.servers:
        if name not in reachable:
            screen.note(
                f"{shown(name)}: no tool of it is chosen, so an agent gets nothing of it; tools that may"
                " destroy something, or don't say, are named with `--tool SERVER__TOOL`"
            )
    for plan in plans:
        screen.heading(f"How {shown(plan.note.path)} will differ")
        screen.changes(plan.difference)


def _limits(choice: Choice) -> list[tuple[str, tuple[str, ...]]]:
    return [
        ("limited to them", _places(choice, lambda it: it.paths) if choice.roots else ()),
        ("limited to http(s)", _places(choice, lambda it: it.addresses) if choice.roots else ()),
        ("FREE, maybe paths", _in_doubt(choice)),
        ("free", _places(choice, lambda it: it.free)),
    ]


def _in_doubt(choice: Choice) -> tuple[str, ...]:
    if choice.roots:
        return _places(choice, lambda it: it.doubts)
    return _places(choice, lambda it: (*it.paths, *it.addresses, *it.doubts))


def _places(choice: Choice, which: Callable[[Offer], tuple[str, ...]]) -> tuple[str, ...]:
    found = {f"{one.name}: {place}": None for one in choice.offers for place in which(one)}
    return tuple(found)


def _set_up(session: Session, choice: Choice, scope: Scope, *, monitor: str, seconds: int) -> str:
    person = _person(session)
    pinned = {row.spec.name: row for row in session.ask(ListUpstreams(), UpstreamRows).rows}
    added: list[ServerSpec] = []
    for name, probed in choice.probed.items():
        if name not in pinned:
            add_probed(session, probed, ())
            added.append(probed.spec)
    name_ready(session, added)
    _seal_secrets(session, choice)
    known = {one.name for one in session.ask(wire.ListAgents(), wire.AgentRows).rows}
    if choice.agent not in known:
        folder = session.place.home / "monitor"
        if not monitor:
            folder.mkdir(mode=0o700, exist_ok=True)
        session.ask(
            wire.RegisterAgent(
                name=choice.agent,
                owner=person,
                approvers=(person,),
                monitor=monitor or f"file:{folder / choice.agent}",
                ceiling=msgspec.Raw(scope.canonical),
            ),
            Done,
        )
    rows = session.ask(ListTemplates(), TemplateRows).rows
    same = [one for one in rows if one.name == choice.template and bytes(one.scope) == scope.canonical]
    if not same:
        session.ask(
            SaveTemplate(name=choice.template, scope=msgspec.Raw(scope.canonical), seconds=seconds), Done
        )
    return person


def _seal_secrets(session: Session, choice: Choice) -> None:
    """Fill the slots that are still empty; values that a person set since are kept."""
    filled = {
        (row.spec.name, one.slot)
        for row in session.ask(ListUpstreams(), UpstreamRows).rows
        for one in row.secrets
        if one.filled
    }
    for name, server in choice.servers.items():
        values = {slot: value for slot, value in server.secrets if (name, slot.text) not in filled}
        fill_slots(session, choice.probed[name].spec, values)
        choice.sealed += tuple(f"{name}.{slot.text}" for slot in values)


def _person(session: Session) -> str:
    for one in session.ask(wire.ListPersons(), wire.PersonRows).rows:
        if one.uid == os.getuid() and one.state == "present":
            return one.name
    name = _SLUG.sub("-", getpass.getuser().lower()).strip("-") or f"uid-{os.getuid()}"
    session.ask(wire.RegisterPerson(name=name, uid=os.getuid()), Done)
    return name


def _activate(session: Session, name: str) -> str:
    agent = session.ask(wire.ShowAgent(name=name), wire.AgentDetail)
    if agent.state == "active":
        return agent.state
    if not agent.acknowledged:
        deliver_code(session, agent)
        if session.yes or session.screen.json or not session.screen.interactive:
            return agent.state
        session.screen.line(
            "Look it up there, in another window: this shows that the agent's monitor reaches you."
        )
        return take_code(session, agent, "The code:", "taskbound init").state
    return activate_agent(session, name, "").state


def _write_settings(session: Session, choice: Choice) -> bool:
    """Write agent and template for `taskbound run` unless settings exist; returns whether they apply."""
    path = session.place.home / "taskbound.toml"
    if not path.exists():
        text = f'# What `taskbound run` means when nothing is named.\nagent = "{choice.agent}"\n'
        write_file(str(path), [f'{text}template = "{choice.template}"\n'.encode()])
        return True
    return (session.place.agent, session.place.template) == (choice.agent, choice.template)


def _report(
    session: Session,
    choice: Choice,
    plans: Sequence[Planned],
    applied: Applied,
    *,
    person: str,
    state: str,
    usual: bool,
) -> None:
    agent = session.ask(wire.ShowAgent(name=choice.agent), wire.AgentDetail)
    stays = {one.path for one in applied.left}
    choice.bypassing += [
        bypassing(one, "its configuration could not be rewritten")
        for one in (*choice.servers.values(), *choice.twins)
        if str(one.config.path) in stays
    ]
    report = _report_of(session, choice, plans, applied, state=state, person=person, monitor=agent.monitor)
    screen = session.screen
    if screen.json:
        screen.document(report)
        return
    for path in report.rewritten:
        screen.line(f"rewritten: {shown(path)} (put back by `taskbound init --undo`)")
    _say_bypassing(session, report.bypassing)
    for name in report.stored_variables:
        screen.note(
            f"the value of {shown(name)} is stored in {shown(report.home)}: other accounts can't read it,"
            " every program of yours can"
        )
    still = _slots(choice, stays)
    for name in report.sealed:
        where = "still in a configuration that was left" if name in still else "in no configuration any more"
        screen.note(f"the value of {shown(name)} is sealed to the egress, and {where}")
    for name in sorted({*_slots(choice)} - {*report.sealed}):
        screen.note(f"{shown(name)} was filled before: the value of the configuration was not put there", "")
    for one in choice.servers.values():
        if one.read and one.secrets:
            screen.note(f"{shown(one.read)} still holds what {shown(one.name)} reads: take it away yourself")
    if report.rewritten:
        screen.note(
            "the originals are kept for `--undo`, for this account only (mode 0600), with all that stood in"
            " them; `taskbound init --forget` takes them away"
        )
    run = "" if usual else f"--agent {choice.agent} --template {choice.template} "
    say_onward(session, agent=choice.agent, state=state, monitor=report.monitor, run=run)


def _report_of(
    session: Session,
    choice: Choice,
    plans: Sequence[Planned],
    applied: Applied,
    *,
    state: str,
    person: str = "",
    monitor: str = "",
) -> InitReport:
    return InitReport(
        home=str(session.place.home),
        agent=choice.agent,
        state=state,
        template=choice.template,
        person=person,
        servers=tuple(choice.servers),
        tools=tuple(one.name for one in choice.offers),
        roots=tuple(choice.roots),
        limited=_places(choice, lambda it: (*it.paths, *it.addresses)) if choice.roots else (),
        in_doubt=_in_doubt(choice),
        rewritten=tuple(one.path for one in applied.rewritten),
        changes=tuple(FileChange(path=one.note.path, difference=one.difference) for one in plans),
        left=files_left(applied.left),
        bypassing=tuple(choice.bypassing),
        looked=choice.looked,
        stored_variables=tuple(
            f"{name}.{variable}"
            for name, probed in choice.probed.items()
            for variable, _ in probed.spec.environment
        ),
        sealed=choice.sealed,
        monitor=monitor,
    )


def _slots(choice: Choice, stays: Container[str] | None = None) -> tuple[str, ...]:
    return tuple(
        f"{name}.{slot.text}"
        for name, one in choice.servers.items()
        if stays is None
        or any(str(other.config.path) in stays for other in (one, *choice.twins) if other.start == one.start)
        for slot, _ in one.secrets
    )


def _say_planned(session: Session, choice: Choice, plans: Sequence[Planned]) -> None:
    nothing = Applied(rewritten=(), left=())
    choice.sealed = _slots(choice)
    if session.screen.json:
        session.screen.document(_report_of(session, choice, plans, nothing, state="planned"))
        return
    _say_bypassing(session, choice.bypassing)
    session.screen.line("Nothing was done. The same command without `--dry-run` does it.")


def _nothing(session: Session, choice: Choice) -> None:
    nothing = Applied(rewritten=(), left=())
    if session.screen.json:
        session.screen.document(_report_of(session, choice, (), nothing, state="unchanged"))
        return
    if choice.found:
        session.screen.line("Nothing to do: no configuration names a server that could be gated and is not.")
        _say_bypassing(session, tuple(choice.bypassing))
    else:
        session.screen.line("Nothing was set up: no client configuration names a server. Looked for:")
        for one in choice.looked:
            session.screen.line(f"  {one}")
        session.screen.line("Name another configuration, or name a server by hand, then register its agent:")
        session.screen.line("  taskbound init --config FILE")
        session.screen.line("  taskbound upstream add NAME -- COMMAND")
        session.screen.line("  taskbound agent register --help")
        session.screen.line(with_pages("The guide is docs/guides/first-use.md."))
    say_elsewhere(session)


def _say_bypassing(session: Session, some: Sequence[Bypassing]) -> None:
    for one in some:
        where = f"{one.client}: {shown(one.name)} in {shown(one.path)}"
        session.screen.note(f"bypasses the gateway: {where} ({Words(one.why)})")

"""`taskbound upstream`: the servers that agents reach through gateways, and their pins."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import msgspec

from taskbound.core.action import canonical, parse_document
from taskbound.core.tool import ToolDefinition, method_definition, parse_definitions, parse_slot
from taskbound.core.tool.name import limit_words
from taskbound.surfaces.cli.reading import BadInputError, read_file
from taskbound.surfaces.cli.screen import shown
from taskbound.surfaces.cli.server.secret import (
    OAuth,
    add_secret,
    ask_client,
    fill_slots,
    how_filled,
    read_slots,
    with_slot,
)
from taskbound.surfaces.cli.server.tool_file import RelaxOption, apply_to, is_for, name_ready, read_tool_file
from taskbound.surfaces.cli.session import Session, argument, command, group, option
from taskbound.wire.connection import Done
from taskbound.wire.tool import AddUpstream, ListUpstreams, RemoveUpstream, ServerSpec, UpstreamRows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskbound.core.tool import Slot
    from taskbound.core.tool.file import ToolFile
    from taskbound.surfaces.cli.plugs import Dependencies, ServerProbe
    from taskbound.surfaces.cli.screen import Screen


app = group("upstream", "Servers that agents reach through a gateway, pinned to what they were when added.")

HIDDEN = "(not shown)"
_EITHER: Final = "a server has either a command or a URL, each with options of its own"
_OPTIONS: Final = (
    "give `-- COMMAND…` (`--env`, `--cwd`, `--limit`), or `--url` (`--header`, `--key`, `--ca`, `--oauth`)"
)
ASKS: Final = {
    "elicitation": "elicitation/create",
    "roots": "roots/list",
    "sampling": "sampling/createMessage",
}
"""How a person says what a server may ask, and what MCP calls it."""
AsksOption: TypeAlias = Annotated[
    list[str] | None,
    option(
        "--asks KIND",
        "A task may grant it to ask its clients so: elicitation, roots or sampling. Repeatable.",
    ),
]

add_secret(app)


Env = Annotated[
    list[str] | None, option("--env NAME=VALUE", "Give it this variable; it is stored. Repeatable.")
]
Limit = Annotated[
    list[str] | None,
    option(
        "--limit NAME=MUCH", "Let it use no more than this: cpu, files, memory, processes, size. Repeatable."
    ),
]
Header = Annotated[
    list[str] | None,
    option("--header NAME=VALUE", "Send this header to the URL; it is no secret. Repeatable."),
]
Key = Annotated[str, option("--key SHA256", "Believe only this public key at the URL.")]
Ca = Annotated[str, option("--ca FILE", "Who certifies the URL, instead of the system's.")]
Agents = Annotated[list[str] | None, option("--agent", "Offer it to this agent only. Repeatable.")]
Tools = Annotated[str, option("--tools FILE", "Declare what this tool file says of its tools.")]
Definitions = Annotated[
    str,
    option(
        "--definitions FILE", "Take its tools from this file, a JSON list of tool objects, and start nothing."
    ),
]
Secret = Annotated[
    list[str] | None,
    option(
        "--secret SLOT",
        "Give it a secret there, piped or typed; with `=credential:TARGET/KIND#NAME`, one of each task's"
        " own. Repeatable.",
    ),
]


@command(
    app,
    "add",
    asks=True,
    examples="taskbound upstream add git -- mcp-server-git\n"
    "taskbound upstream add payments --agent helper --env LEDGER=/srv/ledger.db -- /opt/payments/server\n"
    "taskbound upstream add git --tools git.yaml -- mcp-server-git\n"
    "taskbound upstream add notes --definitions notes.tools.json -- /usr/bin/python3 /srv/notes.py\n"
    "taskbound upstream add indexer --limit memory=1GiB --limit cpu=600 -- /opt/indexer/server\n"
    "taskbound upstream add search --url https://mcp.example.com/search\n"
    "taskbound upstream add github --secret environment:GITHUB_TOKEN -- /opt/github/server stdio < token\n"
    "taskbound upstream add orders --secret environment:PGUSER=credential:orders-db/reader#PGUSER"
    " --secret environment:PGPASSWORD=credential:orders-db/reader#PGPASSWORD --env PGHOST=db.example.com"
    " -- /opt/orders/server\n"
    "taskbound upstream add crm --url https://crm.example.com/mcp --oauth client=taskbound"
    " --oauth issuer=https://login.example.com --oauth scope=crm.read --yes < secret",
)
def add(
    session: Session,
    name: Annotated[str, argument("", "What stands before `__` in its tools' names.")],
    server: Annotated[list[str] | None, argument("COMMAND...", "The server's command line.")] = None,
    *,
    agent: Agents = None,
    env: Env = None,
    limit: Limit = None,
    cwd: Annotated[str, option("--cwd DIR", "Run it there.")] = "",
    asks: AsksOption = None,
    url: Annotated[str, option("--url", "Reach it there, instead of starting a command.")] = "",
    header: Header = None,
    key: Key = "",
    ca: Ca = "",
    tools: Tools = "",
    relax: RelaxOption = False,
    secret: Secret = None,
    oauth: OAuth = None,
    definitions: Definitions = "",
) -> None:
    """Pin a server: its binary and arguments, or its URL, and the definitions of its tools.

    The server is started or reached once to list its tools, and no tool is called. Its command stands after
    `--`. A secret (environment:NAME, header:NAME, query:NAME, argument:TOOL/NAME) is sealed, and the egress
    runs such a server. `SLOT=credential:TARGET/KIND#NAME`, with parameters as `?name=value`, fills a slot
    with a credential minted for each task. `--oauth` gives the server its own tokens; the client's secret is
    read like any other. `--definitions` supplies the tools of a program that is no MCP server.
    """
    listed = _read_definitions(definitions)
    of_command, of_url = bool(env or cwd or limit), bool(header or key or ca)
    _require_either(command=server, url=url, started=of_command, reached=of_url)
    file = _file_for(name, tools, relax=relax)
    client = ask_client(session, url, oauth or [], key=key, authorities=ca)
    slots = _slots_of(with_slot(secret or [], client), file)
    _require_unstarted(listed, url, slots)
    secrets = read_slots(session, slots)
    questions, plugs = parse_asks(asks or []), session.plugs
    if url:
        named, whom = parse_variables(header or []), {"url": url, "key": key, "authorities": ca}
        probed = plugs.reach(name=name, headers=named, secrets=secrets, oauth=client, **whom)
    else:
        probed = _started(
            plugs,
            name=name,
            command=server or [],
            env=env,
            cwd=cwd,
            limit=limit,
            secrets=secrets,
            listed=listed,
        )
    probed = replace(probed, methods=(*probed.methods, *questions))
    _pin(session, probed, agent or [], file, secrets, relax=relax)


def pin_listed(session: Session, name: str, command: Sequence[str], tools: Sequence[bytes]) -> None:
    listed = tuple(canonical(parse_document(one)) for one in tools)
    probed = _started(
        session.plugs, name=name, command=[*command], env=None, cwd="", limit=None, secrets={}, listed=listed
    )
    _pin(session, probed, [], None, {}, relax=False)


def _started(
    plugs: Dependencies,
    *,
    name: str,
    command: list[str],
    env: list[str] | None,
    cwd: str,
    limit: list[str] | None,
    secrets: Mapping[Slot, str | None],
    listed: tuple[bytes, ...],
) -> ServerProbe:
    return plugs.probe(
        name=name,
        command=command,
        environment=parse_variables(env or []),
        directory=cwd,
        limits=limit or (),
        secrets=secrets,
        definitions=listed,
    )


def _require_either(*, command: Sequence[str] | None, url: str, started: bool, reached: bool) -> None:
    if bool(command) == bool(url) or (url and started) or (not url and reached):
        raise BadInputError(_EITHER, remedy=_OPTIONS)


def _require_unstarted(listed: Sequence[bytes], url: str, slots: Sequence[str]) -> None:
    if listed and (url or slots):
        raise BadInputError(
            "`--definitions` is of a command that is not started", remedy="leave out `--url` and its slots"
        )


def _read_definitions(file: str) -> tuple[bytes, ...]:
    if not file:
        return ()
    found = parse_document(read_file(file))
    if not isinstance(found, list) or not found:
        raise BadInputError(
            f"`{shown(file)}` is no list of tools", remedy="write one JSON list of tool objects"
        )
    return tuple(canonical(one) for one in found)


def _slots_of(words: Sequence[str], file: ToolFile | None) -> list[str]:
    said = {parse_slot(one).text for one in words}
    return [*words, *(one for one in (file.slots if file is not None else ()) if one not in said)]


def _pin(
    session: Session,
    probed: ServerProbe,
    agents: list[str],
    file: ToolFile | None,
    secrets: Mapping[Slot, str | None],
    *,
    relax: bool,
) -> None:
    if file is not None and not is_for(file, probed.spec):
        raise BadInputError("the tool file is for another package, or for other releases of it")
    answer = add_probed(session, probed, agents)
    name = probed.spec.name
    empty = fill_slots(session, probed.spec, secrets)
    if not session.screen.json:
        _tell(session, name, probed)
        for slot in empty:
            session.screen.note(f"{slot} is empty: fill it with `taskbound upstream secret {name} {slot}`")
        if file is None:
            name_ready(session, [probed.spec])
    if file is not None:
        apply_to(session, file, name, relax=relax, ask=False)
    session.screen.report(answer)


def _file_for(name: str, tools: str, *, relax: bool) -> ToolFile | None:
    file = read_tool_file(tools) if tools else None
    if relax and file is None:
        raise BadInputError("`--relax` is of a tool file", remedy="name it with `--tools`")
    if file is not None and not file.fits(name):
        raise BadInputError(f"the tool file is for `{shown(file.server)}`, and not for `{shown(name)}`")
    return file


def _tell(session: Session, name: str, probed: ServerProbe) -> None:
    spec = probed.spec
    what = f"{_where(spec)} (MCP {spec.era})" if spec.url else f"{shown(spec.command)} {spec.sha256[:16]}…"
    session.screen.line(f"{shown(name)} is pinned: {what}")
    listed = parse_definitions(probed.definitions, server=name)
    show_tools(session.screen, name, (*listed, *map(method_definition, probed.methods)))
    for note in probed.notes:
        session.screen.note(note)


@command(app, "list", examples="taskbound upstream list")
def list_upstreams(session: Session) -> None:
    """List the pinned servers. The values of their variables are not shown."""
    found = without_values(session.ask(ListUpstreams(), UpstreamRows))
    session.screen.report(found)
    session.screen.table(
        (
            "SERVER",
            "TOOLS",
            "CHANGED",
            "OWNERS",
            "AGENTS",
            "VARIABLES",
            "LIMITS",
            "SECRETS",
            "COMMAND OR URL",
        ),
        [
            (
                one.spec.name,
                one.tools,
                one.changed,
                ",".join(owner or "(none)" for owner in one.owners) or "-",
                ",".join(one.agents) or "every",
                ",".join(variable for variable, _ in one.spec.environment) or "-",
                limit_words(one.spec.limits) or "-",
                how_filled(one.secrets),
                _where(one.spec) or " ".join((one.spec.command, *one.spec.arguments)),
            )
            for one in found.rows
        ],
        "no servers are pinned; add one with `taskbound upstream add` or `taskbound init`",
    )


@command(app, "remove", asks=True, examples="taskbound upstream remove git --yes")
def remove(session: Session, name: Annotated[str, argument("", "The server's name.")]) -> None:
    """Remove a server and its pinned tools; calls to them are refused from now on."""
    session.confirm(f"Remove the server {shown(name)} and its pinned tools?")
    session.act(RemoveUpstream(name=name), f"{shown(name)} is removed")


def _show_pinned(screen: Screen, name: str, probed: ServerProbe) -> None:
    spec = probed.spec
    what = f"{spec.url} (MCP {spec.era})" if spec.url else f"{shown(spec.command)} {spec.sha256[:16]}…"
    screen.line(f"{shown(name)} is pinned: {what}")
    tools = parse_definitions(probed.definitions, server=name)
    show_tools(screen, name, (*tools, *map(method_definition, probed.methods)))
    for note in probed.notes:
        screen.note(note)


def add_probed(session: Session, probed: ServerProbe, agents: Sequence[str]) -> Done:
    raws = tuple(msgspec.Raw(one) for one in probed.definitions)
    ask = AddUpstream(spec=probed.spec, definitions=raws, agents=tuple(agents), methods=probed.methods)
    return session.ask(ask, Done)


def parse_asks(words: Sequence[str]) -> tuple[str, ...]:
    if not ASKS.keys() >= set(words):
        raise BadInputError(f"a server asks for {', '.join(ASKS)}", remedy="give `--asks` one of these")
    return tuple(ASKS[word] for word in sorted(set(words)))


def parse_variables(words: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in words:
        name, mark, value = word.partition("=")
        if not mark or not name or name in found:
            raise BadInputError(
                f"`{shown(name)}` is no variable, or stands twice", remedy="write it as NAME=value"
            )
        found[name] = value
    return found


def show_tools(screen: Screen, server: str, tools: Sequence[ToolDefinition]) -> None:
    screen.table(
        ("TOOL", "EFFECT", "DESCRIPTION"),
        [
            (f"{server}__{one.name}", one.effect.value, str(one.value.get("description") or ""))
            for one in tools
        ],
        "the server lists no tools",
    )


def without_values(rows: UpstreamRows) -> UpstreamRows:
    """Return the servers with variable values hidden, as they may be secrets."""
    return UpstreamRows(
        rows=tuple(msgspec.structs.replace(one, spec=_without_values(one.spec)) for one in rows.rows)
    )


def _where(spec: ServerSpec) -> str:
    if spec.oauth is not None:
        return f"{spec.url} with tokens as {shown(spec.oauth.client)}"
    return spec.url


def _without_values(spec: ServerSpec) -> ServerSpec:
    hidden = tuple((name, HIDDEN) for name, _ in spec.environment)
    return msgspec.structs.replace(spec, environment=hidden)

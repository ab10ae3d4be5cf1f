"""The choices of `taskbound init`; without a terminal it uses the configurations' defaults, or refuses."""

from __future__ import annotations

import os
import re
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.core.action.text import escape_text
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, MalformedError, TaskboundError
from taskbound.core.identity import parse_name
from taskbound.core.tool import parse_definitions
from taskbound.surfaces.cli.clients.entries import Server, find_configs
from taskbound.surfaces.cli.clients.jsonc import masked_words
from taskbound.surfaces.cli.init.scope import Offer, offers_of, outermost, parse_root
from taskbound.surfaces.cli.reading import BadInputError
from taskbound.surfaces.cli.ready import find_ready
from taskbound.surfaces.cli.screen import Words, shown
from taskbound.wire.identity import AgentRows, ListAgents
from taskbound.wire.task import ListTemplates, TemplateRows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from taskbound.core.scope import Scope
    from taskbound.core.tool.file import ToolFile
    from taskbound.surfaces.cli.plugs import ServerProbe
    from taskbound.surfaces.cli.session import Session


def tick(session: Session, title: str, rows: Sequence[tuple[str, str, bool]]) -> tuple[int, ...]:
    ticked = [one for _, _, one in rows]
    while True:
        session.screen.heading(title)
        session.screen.table(
            ("", "NO", "NAME", "WHAT"),
            [("[x]" if ticked[at] else "[ ]", at + 1, name, what) for at, (name, what, _) in enumerate(rows)],
            "nothing",
        )
        answer = session.prompt("Numbers to change, or Enter to go on:").replace(",", " ").split()
        if not answer:
            return tuple(at for at, one in enumerate(ticked) if one)
        for word in answer:
            number = int(word) if word.isascii() and word.isdecimal() else 0
            if 1 <= number <= len(rows):
                ticked[number - 1] = not ticked[number - 1]
            else:
                session.screen.note(
                    f"there is no row `{shown(word[:10])}`: type numbers from 1 to {len(rows)}"
                )


_SLUG: Final = re.compile(r"[^a-z0-9]+")
_LONGEST: Final = 32
TRIES: Final = 5
_NAMED: Final = 12


class Bypassing(msgspec.Struct, frozen=True, kw_only=True):
    """A server that does not go through the gateway."""

    client: str
    path: str
    name: str
    why: str


class OtherCeilingError(DeniedError):
    """An agent, template or server with this name exists and differs from the choice."""

    code = "other-than-chosen"
    remedy = "choose another name with `--agent`"


@dataclass(slots=True, kw_only=True)
class Choice:
    """The choices made so far."""

    agent: str
    template: str
    found: tuple[Server, ...] = ()
    """Every server of every configuration."""
    looked: tuple[str, ...] = ()
    """Where configurations were looked for, as CLIENT: FILE."""
    servers: dict[str, Server] = field(default_factory=dict)
    """Those that are to be gated, by the name that the upstream gets."""
    twins: list[Server] = field(default_factory=list)
    """Further entries that start the same as one of `servers`."""
    probed: dict[str, ServerProbe] = field(default_factory=dict)
    offers: list[Offer] = field(default_factory=list)
    roots: list[str] = field(default_factory=list)
    bypassing: list[Bypassing] = field(default_factory=list)
    sealed: tuple[str, ...] = ()
    """Slots that got their values from the configurations, or would get them, as SERVER.KIND:NAME."""


def choose_servers(
    session: Session, choice: Choice, extra: Sequence[Path], wanted: Sequence[str] | None
) -> None:
    found = find_configs(home=Path.home(), folders=(Path.cwd(),), extra=extra, environ=session.plugs.environ)
    for path, why in found.unreadable:
        session.screen.note(f"`{shown(str(path))}` can't be read: {Words(why)}")
    direct = [one for one in found.servers if not one.gateway]
    possible = [one for one in direct if not one.problem]
    choice.bypassing = [bypassing(one, one.problem) for one in direct if one.problem]
    if wanted:
        missing = sorted(set(wanted) - {one.name for one in possible})
        if missing:
            raise BadInputError(
                f"no configuration has a server `{shown(missing[0])}` that can be gated",
                remedy=next(
                    (one.problem for one in direct if one.name == missing[0] and one.problem),
                    "see `taskbound doctor` for those that are there",
                ),
            )
        ticked = [one for one in possible if one.name in wanted]
    elif session.yes or not possible:
        ticked = possible
    else:
        rows = [(one.name, f"{one.config.client.value}: {_what(one)}", True) for one in possible]
        ticked = [possible[at] for at in tick(session, "Servers that your clients start or reach:", rows)]
    choice.bypassing += [bypassing(one, "it was not chosen") for one in possible if one not in ticked]
    choice.found = found.servers
    choice.looked = tuple(f"{client.value}: {escape_text(str(path))}" for client, path in found.looked)
    for one in ticked:
        name = _upstream_name(one, choice.servers)
        if name in choice.servers:
            choice.twins.append(one)
        else:
            choice.servers[name] = one


def _what(server: Server) -> str:
    return " ".join(masked_words(server.command or (server.url,)))


def _upstream_name(server: Server, taken: dict[str, Server]) -> str:
    plain = _SLUG.sub("-", server.name.lower()).strip("-")[:_LONGEST] or "server"
    client = _SLUG.sub("-", server.config.client.value.lower()).strip("-")
    for name in (plain, *(f"{plain[: _LONGEST - len(end)]}{end}" for end in _endings(client))):
        other = taken.get(name)
        if other is None or other.start == server.start:
            return name
    raise BadInputError(f"too many servers are called `{shown(server.name)}`")


def _endings(client: str) -> Iterable[str]:
    yield f"-{client}"
    for number in range(2, 100):
        yield f"-{number}"


def probe_servers(session: Session, choice: Choice, *, strict: bool) -> None:
    """Start or reach each chosen server once; without `strict`, one that fails stays outside the gateway."""
    for name, server in list(choice.servers.items()):
        session.screen.line(f"looking at {shown(name)}: {shown(_what(server))}")
        try:
            choice.probed[name] = _probe(session, name, server)
            parse_definitions(choice.probed[name].definitions, server=name)
        except TaskboundError as error:
            if strict:
                raise
            choice.probed.pop(name, None)
            del choice.servers[name]
            same = [one for one in choice.twins if one.start == server.start]
            choice.twins = [one for one in choice.twins if one not in same]
            choice.bypassing += [bypassing(one, error.message) for one in (server, *same)]
            session.screen.note(f"{shown(name)} stays outside: {Words(error.message)}")


def _probe(session: Session, name: str, server: Server) -> ServerProbe:
    if server.url:
        return session.plugs.reach(
            name=name,
            url=server.url,
            headers=dict(server.headers),
            key="",
            authorities="",
            secrets=dict(server.secrets),
        )
    return session.plugs.probe(
        name=name,
        command=server.command,
        environment=dict(server.environment),
        directory=server.directory,
        secrets=dict(server.secrets),
    )


def _file_of(probed: ServerProbe) -> ToolFile | None:
    found = find_ready(probed.spec)
    return found[1] if found is not None else None


def choose_tools(session: Session, choice: Choice, wanted: Sequence[str] | None, *, free: bool) -> None:
    offers = [
        offer
        for name, probed in choice.probed.items()
        for offer in offers_of(name, parse_definitions(probed.definitions, server=name), _file_of(probed))
    ]
    if wanted:
        missing = sorted(set(wanted) - {one.name for one in offers})
        if missing:
            names = [one.name for one in offers]
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            raise BadInputError(
                f"no chosen server has a tool `{shown(missing[0])}`",
                remedy=f"there is {', '.join(map(shown, names[:_NAMED])) or 'none'}{more}",
            )
        choice.offers = [one for one in offers if one.name in wanted]
    elif session.yes:
        choice.offers = [one for one in offers if one.ticked(free=free)]
    else:
        rows = [(one.name, _what_it_does(one, free=free), one.ticked(free=free)) for one in offers]
        choice.offers = [offers[at] for at in tick(session, "Tools that the agent may call:", rows)]
    for one in () if free or wanted else offers:
        if one.doubts and one not in choice.offers:
            session.screen.note(f"{one.name} is not allowed: {_doubts(one)}")
    if not choice.offers:
        raise BadInputError(
            "no tool is ticked: each says that it may destroy something, or says nothing about that, or has"
            " arguments that may be paths and can't be limited",
            remedy="name those that the agent may call with `--tool SERVER__TOOL`",
        )


def _what_it_does(offer: Offer, *, free: bool) -> str:
    what = f"{offer.effect.value}: {offer.description}"
    return what if free or not offer.doubts else f"{_doubts(offer)}; {what}"


def _doubts(offer: Offer) -> str:
    return f"may take paths that can't be limited ({', '.join(map(shown, offer.doubts))})"


def choose_roots(session: Session, choice: Choice, wanted: Sequence[str] | None, *, free: bool) -> None:
    if free:
        return
    if wanted:
        choice.roots = list(outermost(parse_root(one) for one in wanted))
        return
    takers = [one for one in choice.offers if one.paths]
    if not takers:
        return
    named = outermost(
        os.path.normpath(word)
        for server in choice.servers.values()
        for word in server.command[1:]
        if word.startswith("/") and Path(word).is_dir()
    )
    if session.yes:
        if not named:
            raise BadInputError(
                f"`{takers[0].name}` takes paths, and no directory is named",
                remedy="name one with `--root DIR`, or leave paths free with `--no-root`",
            )
        choice.roots = list(named)
        return
    session.screen.line("Paths may lie below these directories, and nowhere else (several: separate by `:`).")
    choice.roots = _ask_roots(session, ":".join(named) or str(Path.cwd()))


def _ask_roots(session: Session, default: str) -> list[str]:
    for left in reversed(range(TRIES)):
        answer = session.prompt("Directories:", default=default)
        try:
            roots = list(outermost(parse_root(one) for one in answer.split(":") if one))
        except BadInputError as error:
            if not left:
                raise
            session.screen.note(f"{Words(error.message)}: {Words(error.advice)}")
            continue
        if roots:
            return roots
        session.screen.note("name at least one, or start again with `--no-root` to leave paths free")
    raise BadInputError("no directory was named", remedy="name one with `--root DIR`")


def choose_name(session: Session, choice: Choice, scope: Scope) -> None:
    ceilings = {one.name: bytes(one.ceiling) for one in session.ask(ListAgents(), AgentRows).rows}
    for left in reversed(range(TRIES)):
        if ceilings.get(choice.agent, scope.canonical) == scope.canonical:
            return
        known, free = choice.agent, _free_name(choice.agent, ceilings)
        if not left or session.yes or session.screen.json or not session.screen.interactive:
            raise OtherCeilingError(
                f"agent `{shown(known)}` is known with other tools or directories, and can never pass those",
                remedy=f"give this choice an agent of its own: the same command with `--agent {free}`",
            )
        session.screen.note(
            f"Agent {shown(known)} is known with other tools or directories, and can never pass those."
            " This choice needs an agent of its own."
        )
        choice.agent = _ask_name(session, free)


def _ask_name(session: Session, free: str) -> str:
    for left in reversed(range(TRIES)):
        name = session.prompt("Its name:", default=free)
        try:
            return parse_name(name, what="an agent")
        except MalformedError as error:
            if not left:
                raise
            session.screen.note(f"{Words(error.message)}: {Words(error.advice)}")
    return free


def _free_name(name: str, taken: Mapping[str, object]) -> str:
    base = re.sub(r"-\d{1,3}$", "", name)[:_LONGEST]
    return next(
        one for one in (f"{base}-{number}" for number in range(2, len(taken) + 3)) if one not in taken
    )


def choose_template(session: Session, choice: Choice, scope: Scope, *, told: bool) -> None:
    rows = {one.name: bytes(one.scope) for one in session.ask(ListTemplates(), TemplateRows).rows}
    names = (choice.template,) if told else (choice.template, choice.agent, _free_name(choice.agent, rows))
    for name in names:
        if rows.get(name, scope.canonical) == scope.canonical:
            choice.template = name
            return
    free = _free_name(choice.template, rows)
    raise OtherCeilingError(
        f"template `{shown(choice.template)}` is known, and is another scope",
        remedy=f"choose another name: the same command with `--template {free}`",
    )


def bypassing(server: Server, why: str) -> Bypassing:
    return Bypassing(
        client=server.config.client.value,
        path=escape_text(str(server.config.path)),
        name=server.name,
        why=why,
    )

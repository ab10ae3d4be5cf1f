"""Findings about client configurations: entries that bypass the gateway, and entries that can't work."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from taskbound.core.action.text import escape_text
from taskbound.core.errors import MalformedError
from taskbound.core.tool.identity import canonical_url
from taskbound.surfaces.cli.clients.entries import find_configs, told_option
from taskbound.surfaces.cli.clients.jsonc import masked_url
from taskbound.surfaces.cli.clients.projects import granted_directories, known_projects, projects_below
from taskbound.surfaces.cli.doctor.findings import Finding
from taskbound.surfaces.cli.screen import Words, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from taskbound.core.action.canonical import JsonValue
    from taskbound.surfaces.cli.clients.entries import Server
    from taskbound.wire.tool import ServerSpec


def look_at_clients(
    *,
    home: Path,
    person: Path,
    folder: Path,
    namespace: str,
    environ: Mapping[str, str],
    agents: Mapping[str, JsonValue] | None,
    pinned: Sequence[ServerSpec],
    floating: Callable[[Sequence[str]], str],
) -> Iterator[Finding]:
    roots = {one for ceiling in (agents or {}).values() for one in granted_directories(ceiling)}
    below, whole = projects_below(roots)
    folders = (folder, *below, *known_projects(person))
    found = find_configs(home=person, folders=tuple(dict.fromkeys(folders)), extra=(), environ=environ)
    for path, why in found.unreadable:
        text = f"`{shown(str(path))}` can't be read, so its servers are not known: {Words(why)}"
        yield _finding("warn", "unreadable", text, "mend the file, or take it away", path=path)
    if not whole:
        text = "granted directories hold more, and deeper ones, than was looked through for project files"
        yield _finding("warn", "not-all-seen", text, "run `taskbound doctor` in the projects that you mean")
    gated = 0
    for one in found.servers:
        if not one.gateway:
            why = one.problem or (floating(one.command) if one.command else "")
            yield _bypass(one, why, pinned, environ)
            continue
        gated += 1
        yield from _entry(one, home=home, namespace=namespace, agents=agents)
    if gated:
        text = f"{'one entry starts' if gated == 1 else f'{gated} entries start'} the gateway of Taskbound"
        yield _finding("ok", "gated", text)


def _finding(level: str, name: str, text: str, advice: str = "", *, path: Path | None = None) -> Finding:
    where = escape_text(str(path)) if path is not None else ""  # a name may be no UTF-8
    return Finding(about="clients", level=level, name=name, text=text, advice=advice, path=where)


def _of(one: Server, level: str, name: str, text: str, advice: str) -> Finding:
    path = escape_text(str(one.config.path))
    where = f"{one.config.client.value}: `{shown(one.name)}` in {path}, line {one.line},"
    return Finding(
        about="clients",
        level=level,
        name=name,
        text=f"{where} {text}",
        advice=advice,
        path=path,
        line=one.line,
    )


def _bypass(one: Server, problem: str, pinned: Sequence[ServerSpec], environ: Mapping[str, str]) -> Finding:
    if one.front:
        text = (
            f"is reached at {shown(masked_url(one.url))}: an HTTP front of Taskbound, or what looks like one"
        )
        return _of(one, "warn", "front", text, "see that `taskbound gateway --listen` is what listens there")
    same = next((spec.name for spec in pinned if _is_same(one, spec, environ)), "")
    why = f": {Words(problem)}" if problem else ""
    if same:
        text = f"bypasses the gateway to what is pinned as `{shown(same)}`{why}"
        return _of(
            one, "bad", "gated-and-direct", text, "take the entry away, or gate it with `taskbound init`"
        )
    advice = "gate it with `taskbound init`, or take it away"
    if problem:
        advice = "mend what keeps it there, or take it away; docs/guides/clients.md says what moves"
    return _of(one, "warn", "bypass", f"bypasses the gateway{why}", advice)


def _entry(
    one: Server, *, home: Path, namespace: str, agents: Mapping[str, JsonValue] | None
) -> Iterator[Finding]:
    program = Path(one.command[0])
    if shutil.which(program) is None:
        text = f"starts `{shown(str(program))}`, which is not there or can't be run"
        yield _of(one, "bad", "gateway-missing", text, "put it back and run `taskbound init` again")
        return
    told = told_option(one.command, "--home")
    if told and os.path.realpath(told) != os.path.realpath(home):
        text = f"starts a gateway of another data directory, `{shown(told)}`"
        yield _of(one, "warn", "other-home", text, "look at that one with `taskbound doctor --home`")
        return
    agent = told_option(one.command, "--agent")
    here = (told_option(one.command, "--namespace") or "default") == namespace
    if here and agents is not None and agent not in agents:
        text = f"starts a gateway for the agent `{shown(agent)}`, which is not registered here"
        yield _of(one, "bad", "agent-missing", text, "see `taskbound agent list`")


def _is_same(one: Server, spec: ServerSpec, environ: Mapping[str, str]) -> bool:
    if spec.url:
        try:
            return bool(one.url) and canonical_url(one.url.partition("?")[0]) == spec.url.partition("?")[0]
        except MalformedError:
            return False
    if not one.command:
        return False
    program = shutil.which(one.command[0], path=environ.get("PATH", os.defpath)) or one.command[0]
    return starts([program, *one.command[1:]], spec, directory=one.directory)


def starts(words: Sequence[str], spec: ServerSpec, *, directory: str) -> bool:
    """Search the pinned program among the first words, because an interpreter may precede it."""
    programs = {os.path.realpath(one) for one in (spec.command, spec.resolved) if one}
    arguments = [_plain(one, spec.directory) for one in spec.arguments]
    whole = [_plain(one, directory) for one in words]
    for at, word in enumerate(whole[:3]):
        if word in programs and whole[at + 1 :] == arguments:
            return True
    # A script that `env` finds an interpreter for is pinned as that interpreter, the script before its words.
    return (
        bool(whole) and whole == arguments and whole[0] in {os.path.realpath(path) for path, _ in spec.files}
    )


def _plain(word: str, directory: str) -> str:
    if not word or "\0" in word or word.startswith("-"):
        return word
    path = os.path.join(directory, word)  # noqa: PTH118 -- words that are no paths pass through here too
    return os.path.realpath(path) if os.path.exists(path) else word  # noqa: PTH110 -- the same

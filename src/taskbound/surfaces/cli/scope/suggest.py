"""`taskbound scope suggest`: the narrowest scope for recorded or intended calls."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from taskbound.core.action import parse_document
from taskbound.core.action.canonical import canonical
from taskbound.core.scope import parse_scope
from taskbound.surfaces.cli.naming import whole_task
from taskbound.surfaces.cli.reading import BadInputError, parse_seconds, read_file, write_file
from taskbound.surfaces.cli.screen import Words, shown
from taskbound.surfaces.cli.session import Session, argument, command, option
from taskbound.wire.document import read_document, write_yaml
from taskbound.wire.policy import IntendedCall, Suggested, SuggestScope

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.core.action import JsonValue


_LARGEST: Final = 8 * 1024 * 1024
_ORDER: Final = ("tool", "arguments", "optional", "others", "uses", "min", "max")
_BLOCKS: Final = ("arguments", "grants")
_SECOND: Final = 1_000_000


def add_suggest(app: typer.Typer) -> None:
    command(
        app,
        "suggest",
        examples="taskbound scope suggest --task tsk_…\n"
        "taskbound scope suggest --agent helper --since 7d --out narrower.yaml\n"
        "taskbound scope suggest calls.jsonl --agent helper",
    )(suggest)


def suggest(
    session: Session,
    file: Annotated[str, argument("[FILE]", "Calls that are meant; `-` reads.")] = "",
    *,
    task: Annotated[
        list[str] | None, option("--task", "What was permitted in this task. Repeatable.")
    ] = None,
    agent: Annotated[str, option("--agent", "The agent whose ceiling bounds it.")] = "",
    since: Annotated[str, option("--since TIME", "With `--agent`: since then, such as 7d.")] = "",
    out: Annotated[str, option("--out FILE", "Write it there.")] = "",
) -> None:
    """Suggest the narrowest scope that covers recorded or intended calls, and explain what was widened.

    Review it before use: it permits what was done, whether or not that was right.
    """
    if not file and not task and not agent:
        raise BadInputError("say from what: a FILE, `--task` or `--agent`")
    if since and (task or file or not agent):
        raise BadInputError("`--since` goes with `--agent` alone")
    found = session.ask(
        SuggestScope(
            tasks=tuple(whole_task(session, one) for one in task or ()),
            agent=agent,
            since=time.time_ns() // 1000 - parse_seconds(since) * _SECOND if since else 0,
            calls=tuple(read_calls(read_file(file, largest=_LARGEST), file)) if file else (),
        ),
        Suggested,
        patience=60.0,
    )
    if out:
        write_file(out, [written(found)])
    session.screen.report(found)
    if not out:
        session.screen.text(written(found).decode())
    broad, count = sum(one.broad for one in found.widenings), len(found.widenings)
    session.screen.hint(f"from {found.calls} calls; {count} things were widened, {broad} broadly", "yellow")


def read_calls(raw: bytes, name: str) -> Iterator[IntendedCall]:
    lines = [line for line in raw.splitlines() if line.strip()]
    values: JsonValue
    if name.lower().endswith(".jsonl") or (len(lines) > 1 and all(one.lstrip()[:1] == b"{" for one in lines)):
        values = [parse_document(line.strip()) for line in lines]
    else:
        values = read_document(raw, name).value
    for at, one in enumerate(values if isinstance(values, list) else [values], start=1):
        tool = one.get("tool") if isinstance(one, dict) else None
        arguments = one.get("arguments", {}) if isinstance(one, dict) else None
        if not isinstance(one, dict) or not isinstance(tool, str) or not isinstance(arguments, dict):
            raise BadInputError(f"call {at} of `{shown(name)}` is not `tool` and `arguments`")
        if one.keys() - {"tool", "arguments"}:
            raise BadInputError(f"call {at} of `{shown(name)}` has more than `tool` and `arguments`")
        yield IntendedCall(tool=tool, arguments=msgspec.Raw(canonical(arguments)))


def written(found: Suggested) -> bytes:
    scope = parse_scope(bytes(found.scope))
    lines = [f"# Suggested from {found.calls} calls. Look at it before you use it."]
    if found.agent:
        held = "It is within" if found.within else "It is NOT shown to be within"
        lines.append(f"# {held} the ceiling of agent {shown(found.agent)}.")
    lines += [f"# {shown(Words(one))}" for one in found.outside]
    if found.unread:
        lines.append(f"# {found.unread} actions could not be read any more, and were left out.")
    lines += [
        f"# {one.grant}{f' {shown(Words(one.path))}' if one.path else ''}: {shown(Words(one.what))}"
        f" ({shown(Words(one.why))}){' BROAD' if one.broad else ''}"
        for one in found.widenings
    ]
    return ("\n".join(lines) + "\n" + write_yaml(scope.value(), order=_ORDER, blocks=_BLOCKS)).encode()

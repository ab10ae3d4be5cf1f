"""Probes a server before it is pinned: era, self-description, tools.

The probed process carries no calls (design 6) and ends before this returns. A probe whose output, including
errors, contains a given secret is refused (`core.tool.leak`).
"""

from __future__ import annotations

import asyncio
import os
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from msgspec import structs

from taskbound.adapters.upstream.mcp.errors import SecretShownError, ServerLostError, StartFailedError
from taskbound.adapters.upstream.mcp.handshake import Opened, discover, initialize
from taskbound.adapters.upstream.mcp.pin import resolve_command
from taskbound.adapters.upstream.mcp.process import ServerProcess, environment_for, require_kept
from taskbound.adapters.upstream.mcp.server import StepTimeouts, fill, list_tools
from taskbound.adapters.upstream.mcp.session import METHOD_NOT_FOUND, REFUSAL, Session
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
from taskbound.core.tool import parse_definitions, parse_server_name
from taskbound.core.tool.name import parse_limits
from taskbound.core.tool.slot import Leaks, stand_ins
from taskbound.ports.upstream import errored
from taskbound.wire.tool import ServerSpec, identity_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from taskbound.adapters.upstream.mcp.server import SlotValues
    from taskbound.adapters.upstream.mcp.session import McpSession
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.tool import Slot
    from taskbound.ports.upstream import Question

    Show = Callable[[McpSession, Opened], Awaitable["Probe"]]
    """Lists what an open connection offers."""


R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What a server showed of itself."""

    era: str
    server: str
    """Name and version by its own word, escaped; for show only."""
    definitions: tuple[bytes, ...]
    """Each tool object exactly as received."""
    notes: tuple[str, ...] = ()
    """What a person who pins it should know besides."""
    methods: tuple[str, ...] = ()
    """What it says that it can be asked for beside them."""
    logs: bool = False
    """Whether it says that it logs."""


class NullListener:
    """Ignores a probed server's notifications."""

    def tools_changed(self) -> None:
        """Ignored: the list is read once."""

    def listed(self, kind: str) -> None:
        """Ignored: lists are read once."""

    def updated(self, uri: str) -> None:
        pass

    def logged(self, params: Mapping[str, JsonValue]) -> None:
        pass

    def asked(self, question: Question) -> None:
        question.answer(errored(METHOD_NOT_FOUND, REFUSAL))

    def withdrawn(self, question: Question) -> None:
        pass

    def ended(self, reason: str, detail: str) -> None:
        pass


def pin_server(  # noqa: PLR0913 -- what a server is started by, as a person types it
    name: str,
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    directory: str,
    limits: Sequence[str] = (),
    ours: Mapping[str, str] | None = None,
    slots: Iterable[Slot] = (),
) -> ServerSpec:
    """Returns a command line's spec, without era; raises MalformedError if it can't be pinned.

    `limits` look like `memory=1GiB`; `ours` replaces this process's environment.
    """
    parse_server_name(name)
    limited = parse_limits(limits)
    require_kept(limited)
    declared = tuple(sorted(environment.items()))
    whole = environment_for(declared, os.environ if ours is None else ours)
    program, *arguments = command or [""]
    found = resolve_command(program, arguments, environment=whole, directory=directory)
    spec = ServerSpec(
        name=name,
        command=found.command,
        resolved="" if found.resolved == found.command else found.resolved,
        sha256=found.sha256,
        files=found.files,
        arguments=found.arguments,
        environment=declared,
        directory=found.directory,
        lock=found.lock,
        limits=limited,
        slots=tuple(sorted(one.text for one in slots)),
    )
    identity_of(spec, namespace="default")
    return spec


async def probe(
    spec: ServerSpec,
    *,
    patience: StepTimeouts | None = None,
    ours: Mapping[str, str] | None = None,
    filling: SlotValues | None = None,
) -> Probe:
    """Starts the server, detects its era, lists its tools and ends it."""
    limits = patience or StepTimeouts()
    mine = dict(os.environ) if ours is None else ours
    identity = identity_of(spec, namespace="default")

    async def show(session: McpSession, opened: Opened) -> Probe:
        return await _listed(session, spec.name, opened, limits)

    start = partial(
        ServerProcess.start, identity, ours=mine, secret=filling.environment if filling is not None else ()
    )
    try:
        found = await _with(start, limits, partial(look_modern, show=show, patience=limits))
        if found is not None:
            return found
        return await _with(start, limits, partial(look_legacy, show=show, patience=limits))
    except ServerLostError as error:
        said = f"; it said: {error.detail}" if error.detail else ""
        raise StartFailedError(f"the server can't be looked at: {error.message}{said}") from error


async def look_modern(session: McpSession, *, show: Show, patience: StepTimeouts) -> Probe | None:
    """Probes by `server/discover`; returns None if a fresh connection is needed."""
    try:
        opened = await discover(session, patience=patience.discover)
    except ServerLostError:
        return None  # silence or an end: legacy, and to be asked afresh
    if opened is None:
        opened = await initialize(session, patience=patience.start)
    return await show(session, opened)


async def look_legacy(session: McpSession, *, show: Show, patience: StepTimeouts) -> Probe:
    try:
        opened = await initialize(session, patience=patience.start)
    except StartFailedError as refusal:
        # A modern server that was slow to start refuses the handshake, and is asked once more.
        try:
            later = await discover(session, patience=patience.discover)
        except ServerLostError:
            raise refusal from None
        if later is None:
            raise
        opened = later
    return await show(session, opened)


def probe_command(
    *,
    name: str,
    command: Sequence[str],
    environment: Mapping[str, str],
    directory: str,
    limits: Sequence[str] = (),
    secrets: Mapping[Slot, str | None] | None = None,
) -> tuple[ServerSpec, Probe]:
    """Pins a command line and probes its server (blocking); `secrets` has values of slots filled for it.

    Returns the spec with its era, and what the server showed.
    """
    spec = pin_server(
        name, command, environment=environment, directory=directory, limits=limits, slots=secrets or ()
    )
    filled = {slot: value for slot, value in (secrets or {}).items() if value is not None}
    given = filled | stand_ins(secrets or ())
    found = look_guarded(filled.values(), lambda: asyncio.run(probe(spec, filling=fill(given))))
    return structs.replace(spec, era=found.era, logs=found.logs), found


def look_guarded(secrets: Iterable[str], look: Callable[[], Probe]) -> Probe:
    """Returns the probe; raises SecretShownError if it, or its error, contains one of the secrets."""
    leaks = Leaks(secrets)
    try:
        found = look()
    except TaskboundError as error:
        if not leaks.found_in(error.message, error.advice, str(getattr(error, "detail", ""))):
            raise
        raise SecretShownError("the server can't be looked at, and its last words hold its secret") from None
    if leaks.found_in(*found.definitions, *found.notes, *found.methods, found.server):
        raise SecretShownError("the server shows a secret that it was given, in what it says of itself")
    return found


async def _listed(session: McpSession, name: str, opened: Opened, patience: StepTimeouts) -> Probe:
    definitions = await list_tools(session, opened.era, patience=patience.listing)
    parse_definitions(definitions, server=name)
    return Probe(
        era=opened.era,
        server=opened.server,
        definitions=definitions,
        methods=opened.methods,
        logs=opened.logs,
    )


async def _with(
    start: Callable[[Session], Awaitable[ServerProcess]],
    patience: StepTimeouts,
    look: Callable[[Session], Awaitable[R]],
) -> R:
    session = Session(NullListener())
    process = await start(session)
    session.attach(process)
    try:
        return await look(session)
    finally:
        await process.stop(grace=patience.stop)

"""`taskbound serve`, `gateway` and `guard`: commands that start other processes."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Annotated, Final

import typer

from taskbound.core.errors import UnavailableError
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.surfaces.cli.reading import BadInputError
from taskbound.surfaces.cli.screen import shown
from taskbound.surfaces.cli.session import Session, command, option, plugs_of, told_before
from taskbound.wire.connection import Done, EndDaemon, StartDaemon

_CANNOT_JUDGE: Final = frozenset({"other-version"})
"""Refusals of a daemon that could not look at what was asked."""


def add_serve(app: typer.Typer) -> None:
    examples = "taskbound serve\ntaskbound serve --port 8710\ntaskbound serve --end"
    command(app, "serve", examples=examples)(serve)


def add_gateway(app: typer.Typer) -> None:
    def gateway(ctx: typer.Context) -> None:
        """Run the gateway between an MCP client and its servers; clients start it as `init` configured.

        It speaks MCP on standard input and output: `taskbound gateway --agent NAME [--home DIR]`.

        With `--listen 127.0.0.1:PORT` it serves MCP over HTTP to any number of agents, each at `/mcp/AGENT`
        with tokens of its task: docs/guides/http.md. A person starts that.
        """
        if told_before(ctx):
            raise BadInputError("a gateway reads its own options", remedy="put them after the word `gateway`")
        raise typer.Exit(plugs_of(ctx).gateway(ctx.args))

    settings = {"allow_extra_args": True, "ignore_unknown_options": True}
    example = (
        "$ taskbound gateway --agent helper --home ~/.local/share/taskbound\n\n"
        "$ taskbound gateway --listen 127.0.0.1:8701"
    )
    app.command("gateway", epilog=example, context_settings=settings)(gateway)


def add_guard(app: typer.Typer) -> None:
    def guard(ctx: typer.Context) -> None:
        """Answer nginx or Envoy whether a request may pass to the service behind the proxy.

        It verifies each request's transaction token as `docs/guides/proxies.md` says, for services that can't
        use the Python library: `taskbound guard FILE [--check] [--json]`. It needs no daemon and no data
        directory.
        """
        if told_before(ctx):
            raise BadInputError("a guard reads its own options", remedy="put them after the word `guard`")
        raise typer.Exit(plugs_of(ctx).guard(ctx.args))

    settings = {"allow_extra_args": True, "ignore_unknown_options": True}
    example = (
        "$ taskbound guard /etc/taskbound/guard.toml\n\n$ taskbound guard /etc/taskbound/guard.toml --check"
    )
    app.command("guard", epilog=example, context_settings=settings)(guard)


def serve(
    session: Session,
    port: Annotated[
        int,
        option("--port", "the loopback's port for the API; 0 as the settings say, or 8700", min=0, max=65535),
    ] = 0,
    end: Annotated[
        bool, option("--end", "end the daemon that runs, and start none; it is waited for")
    ] = False,
) -> None:
    """Start the daemon and its processes in the foreground.

    Commands that need a daemon start one themselves. All of it runs under your account: that keeps other
    accounts out, and contains nothing that you start. `taskbound doctor` reports which boundaries hold.

    `--end` ends the running daemon, for an update or new settings. No task ends with it, and the next command
    that needs a daemon starts another.
    """
    if end:
        _end(session, port)
        return
    session.require_outside(StartDaemon())
    session.plugs.make_home(session.place.home)
    session.screen.note(
        "All parts run under your account; `taskbound doctor` says what that contains.", "dim"
    )
    raise typer.Exit(session.plugs.serve(session.place.home, session.screen.json, port))


def _end(session: Session, port: int) -> None:
    place = session.place
    if place.socket:
        raise BadInputError(
            f"the daemon at `{place.socket}` is another account's",
            remedy="end its service, as its account",
        )
    if port:
        raise BadInputError("a daemon that ends listens nowhere", remedy="leave `--port` or `--end` out")
    session.require_outside(EndDaemon())
    _require_allowed(session)
    process = session.plugs.end_daemon(place.home)
    session.screen.report({"is": "ended" if process else "not-running", "process": process})
    if process:
        session.screen.line(f"ended: process {process} of {shown(str(place.home))}")
    else:
        session.screen.line(f"no daemon runs for {shown(str(place.home))}")


def _require_allowed(session: Session) -> None:
    """Ask the daemon, which records a refusal; outside of every run a silent daemon may be ended."""
    place = replace(session.place, autostart=False)
    with suppress(UnavailableError):
        try:
            with session.plugs.connect(place, session.namespace, "cli") as client:
                client.ask(EndDaemon(), Done)
        except RefusedByDaemonError as error:
            if error.fault.family != "unavailable" and error.fault.code not in _CANNOT_JUDGE:
                raise

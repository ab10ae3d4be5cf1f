"""Prints the remaining steps after `taskbound init`, each as a command, and only steps that apply."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.surfaces.cli.pages import with_pages
from taskbound.surfaces.cli.screen import shown

if TYPE_CHECKING:
    from taskbound.surfaces.cli.session import Session


def say_onward(session: Session, *, agent: str, state: str, monitor: str, run: str) -> None:
    """Print the remaining steps; `run` holds the options that `taskbound run` needs, or is ''."""
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
    """Print what to do if no client is to be gated."""
    session.screen.line("Look with `taskbound try -- SERVER`, or add one with `taskbound upstream add`.")
    session.screen.line(
        with_pages(
            "A program of your own (docs/guides/sdk.md) and agents over the network"
            " (docs/guides/network-api.md) need no client: start the daemon with `taskbound serve`."
        )
    )

"""The command `taskbound demo`."""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from taskbound.surfaces.cli.demo.parts import find_parts
from taskbound.surfaces.cli.demo.scene import Page
from taskbound.surfaces.cli.reading import BadInputError
from taskbound.surfaces.cli.screen import Screen, shown
from taskbound.surfaces.cli.session import option, plugs_of, told_before

if TYPE_CHECKING:
    from collections.abc import Iterator


def add_demo(app: typer.Typer) -> None:
    app.command("demo", epilog="$ taskbound demo --keep ./demo")(_demo)


def _demo(
    ctx: typer.Context,
    *,
    keep: Annotated[str, option("--keep DIR", "Work there and keep it; it must be empty or new.")] = "",
    json: Annotated[bool, option("--json", "Print one JSON document and nothing else.")] = False,
) -> None:
    """Show the main use case on real input: a real client and servers, each decision with its reason.

    An agent reads a git repository and makes payments from a ledger, through a gateway and daemon of its own,
    in a directory that is removed afterwards. Nothing is simulated and nothing of yours is changed. It takes
    less than a minute and no network. The status is 0 only if every step succeeds.
    """
    before = told_before(ctx)
    if before.keys() - {"json"}:
        raise BadInputError(
            "the demo has an installation of its own", remedy="leave `--home` and `--namespace` out"
        )
    json = json or bool(before)
    screen, page, plugs = Screen(json=json), Page(silent=json), plugs_of(ctx)
    parts = find_parts()
    with _place(keep) as place:
        page.title()
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # it cleans up as after an interrupt
        # Only now: the story drives the MCP SDK, which only the extra `demo` brings.
        from taskbound.surfaces.cli.demo.story import tell  # noqa: PLC0415 -- as the line above says

        report = asyncio.run(tell(plugs, parts, page, place, kept=bool(keep)))
    if json:
        screen.document(report)
    raise typer.Exit(0 if report.ok else 1)


@contextmanager
def _place(keep: str) -> Iterator[Path]:
    if keep:
        yield _make_place(keep)
        return
    place = Path(tempfile.mkdtemp(prefix="taskbound-demo-")).resolve()
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _make_place(told: str) -> Path:
    place = Path(told).expanduser().absolute()
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        filled = any(place.iterdir())
    except OSError as error:
        raise BadInputError(
            f"`{shown(told)}` can't be made: {error.strerror or error}", remedy="name a directory that can be"
        ) from error
    if filled:
        raise BadInputError(f"`{shown(told)}` is not empty", remedy="name a new directory")
    place.chmod(0o700)
    return place.resolve()

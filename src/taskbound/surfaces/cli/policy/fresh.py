"""`taskbound policy new`: creates a folder from the default policies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

import taskbound
from taskbound.surfaces.cli.policy.commands import app
from taskbound.surfaces.cli.reading import BadInputError, FileError, read_file, write_file
from taskbound.surfaces.cli.screen import shown
from taskbound.surfaces.cli.session import Session, command
from taskbound.wire.connection import Done

_FILES: Final = ("holds.cedar", "holds.cases.yaml", "tools.json")


def default_policies(package: Path | None = None) -> Path:
    """Return the folder of default policies in source tree or wheel; raises FileError if missing."""
    package = package or Path(taskbound.__file__).parent
    for place in (package.parent.parent / "policies", package / "policies"):
        if (place / _FILES[0]).is_file():
            return place
    raise FileError("this installation has no default policies", remedy="install Taskbound again")


@command(app, "new", examples="taskbound policy new rules")
def new(
    session: Session,
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="A folder to make.", show_default=False)],
) -> None:
    """Create a folder with the default policies, their cases, and the tools that they are about."""
    path = Path(folder)
    source = default_policies()
    try:
        path.mkdir(mode=0o700)
    except FileExistsError as error:
        raise BadInputError(f"`{shown(folder)}` is there already", remedy="name a new folder") from error
    except OSError as error:
        raise FileError(f"`{shown(folder)}` can't be made: {error.strerror or error}") from error
    for name in _FILES:
        write_file(str(path / name), [read_file(str(source / name))])
    session.done(
        Done(detail=folder), f"{shown(folder)} holds the default policies; try `taskbound policy test`"
    )

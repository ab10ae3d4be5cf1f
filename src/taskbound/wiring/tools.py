"""Child process that prints the tools of an application's guarded functions (`taskbound tool pin`).

    python -P -m taskbound.wiring.tools notes.py notes

It imports the application and calls nothing of it. It reports as `taskbound.wiring.coverage` does.
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import msgspec

from taskbound.core.errors import MalformedError
from taskbound.sdk.guard.guarded import Guarded
from taskbound.sdk.guard.signature import tool_file
from taskbound.sdk.tool.coverage.found import BadApplicationError, Defined
from taskbound.wiring.coverage import load, loading, report

if TYPE_CHECKING:
    from collections.abc import Sequence


_FAILED: Final = 2


def define(application: str, server: str) -> Defined:
    """Returns one server's guarded functions (empty: the only server); raises BadApplicationError."""
    if application.endswith(".py"):
        sys.path.insert(0, str(Path(application).absolute().parent))
        with loading(application):
            names = runpy.run_path(application)
    else:
        names = vars(load(_module(application)))
    known = {id(one): one for one in names.values() if isinstance(one, Guarded)}
    found = [one for one in known.values() if server in {"", one.server}]
    try:
        tools = msgspec.json.decode(tool_file(found), type=tuple[msgspec.Raw, ...])
    except MalformedError as error:
        raise BadApplicationError(
            f"`{application}` can't be pinned: {error.message}; {error.advice}"
        ) from error
    return Defined(server=found[0].server, tools=tools)


def main(words: Sequence[str]) -> NoReturn:
    match list(words):
        case [application] | [application, "--server", ""]:
            server = ""
        case [application, "--server", server]:
            pass
        case _:
            sys.stderr.write("python -P -m taskbound.wiring.tools FILE [--server NAME]\n")
            os._exit(_FAILED)
    report(lambda: define(application, server))


def _module(name: str) -> str:
    if ":" in name:
        raise BadApplicationError(f"`{name}` names an object; name a file or a module")
    return name


if __name__ == "__main__":
    main(sys.argv[1:])

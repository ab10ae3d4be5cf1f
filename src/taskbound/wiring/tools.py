"""The process that prints which tools a program's guarded functions are, for a person who pins them.

    python -m taskbound.wiring.tools notes.py > notes.tools.json
    taskbound upstream add notes --definitions notes.tools.json -- /usr/bin/python3 /srv/notes.py

The program is loaded, and nothing of it is called; what it does when it is loaded it does.
"""

from __future__ import annotations

import runpy
import sys
from typing import TYPE_CHECKING, Final

from taskbound.core.errors import TaskboundError
from taskbound.sdk.guard.guarded import Guarded
from taskbound.sdk.guard.tools import tool_file
from taskbound.wiring.failed import tell_failure

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_FAILED: Final = 2


def main(words: Sequence[str]) -> int:
    """Print the file of a program's guarded functions; the exit status."""
    match list(words):
        case [path]:
            server = ""
        case [path, "--server", server]:
            pass
        case _:
            sys.stderr.write("python -m taskbound.wiring.tools PROGRAM [--server NAME]\n")
            return _FAILED
    try:
        known = {id(one): one for one in runpy.run_path(path).values() if isinstance(one, Guarded)}
        found = [one for one in known.values() if server in {"", one.server}]
        sys.stdout.write(tool_file(found))
    except TaskboundError as error:
        tell_failure(error)
        return _FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

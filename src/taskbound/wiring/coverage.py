"""The process that loads an application and prints which tools it exposes.

    python -P -m taskbound.wiring.coverage desk.agents:triage

It needs nothing but the SDK, and is run by the application's own Python: `taskbound audit coverage --python`.
The application's module is imported, and does what it does then; nothing of it is called, and no network is
reached by us.

1. Standard output is the report's alone: what the module prints goes to standard error.
2. It ends at once when the report is written, whatever threads the module has left behind.
3. What an application raises, or a name that names nothing, is one error, which is a report too.
"""

from __future__ import annotations

import importlib
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NoReturn

import msgspec

from taskbound.sdk.tool.coverage.found import BadApplicationError, NotLoaded
from taskbound.sdk.tool.coverage.walk import cover

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


_FAILED: Final = 2
_LONGEST: Final = 2000


def load(name: str) -> object:
    """What is named.

    Args:
        name: `MODULE`, or `MODULE:OBJECT`, where the object may be an attribute of one.

    Raises:
        BadApplicationError: The module can't be imported, or has no such object.
    """
    module, _, path = name.partition(":")
    names = path.split(".") if path else []
    if not all(one.isidentifier() for one in (*module.split("."), *names)):
        raise BadApplicationError(f"`{name}` names no module and object")
    with loading(name):
        found: object = importlib.import_module(module)
        for one in names:
            found = getattr(found, one)
    return found


@contextmanager
def loading(name: str) -> Iterator[None]:
    """Tell what an application raises while it is loaded (rule 3).

    Raises:
        BadApplicationError: It raised something.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever an application raises, `SystemExit` too, is told
        kind = type(error).__name__
        raise BadApplicationError(f"`{name}` can't be loaded: {kind}: {_words(error)}") from error


def main(words: Sequence[str]) -> NoReturn:
    """Print what an application exposes, and end."""
    if len(words) != 1:
        sys.stderr.write("python -P -m taskbound.wiring.coverage MODULE:OBJECT\n")
        os._exit(_FAILED)
    report(lambda: cover(load(words[0]), words[0]))


def report(look: Callable[[], object]) -> NoReturn:
    """Print what is found once the application is loaded, and end (rules 1 and 2)."""
    to = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.path.insert(0, str(os.getcwd()))  # noqa: PTH109 -- as `python -m` itself does
    status = 0
    try:
        found = look()
    except BadApplicationError as error:  # 3
        found, status = NotLoaded(message=error.message), _FAILED
    to.write(msgspec.json.encode(found) + b"\n")
    to.flush()
    sys.stderr.flush()
    os._exit(status)  # 2


def _words(error: BaseException) -> str:
    """What it says, where that can be said."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 -- an application's own error, whose words fail too
        return "(no words)"
    return text.encode("utf-8", "backslashreplace").decode()[:_LONGEST]


if __name__ == "__main__":
    main(sys.argv[1:])

"""Child process that loads an application and prints which tools it exposes; needs only the SDK.

It imports the application's module, calls nothing of it, and makes no network connection of its own.

1. Standard output carries only the report; output of the module goes to standard error.
2. It exits as soon as the report is written, whatever threads the module left running.
3. An exception of the application, or an unknown name, is reported as one error.
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
    """Returns the object named by `MODULE` or `MODULE:OBJECT`; the object may be a dotted attribute."""
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
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever an application raises, `SystemExit` too, is told
        kind = type(error).__name__
        raise BadApplicationError(f"`{name}` can't be loaded: {kind}: {_words(error)}") from error


def main(words: Sequence[str]) -> NoReturn:
    if len(words) != 1:
        sys.stderr.write("python -P -m taskbound.wiring.coverage MODULE:OBJECT\n")
        os._exit(_FAILED)
    report(lambda: cover(load(words[0]), words[0]))


def report(look: Callable[[], object]) -> NoReturn:
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
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 -- an application's own error, whose words fail too
        return "(no words)"
    return text.encode("utf-8", "backslashreplace").decode()[:_LONGEST]


if __name__ == "__main__":
    main(sys.argv[1:])

"""An error at each place where what is done calls anything of this package's, one at a time.

What is called is every function and every method of C that code of this package calls, by who calls it,
the line and the name. Not failing are what leaves a block or releases a lock, which can't fail before it
begins, what tells keys apart, which are frozen, and the steps of a generator itself, which say nothing of its
caller; what these call fails.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final, TypeAlias

import taskbound

Site: TypeAlias = tuple[str, int, str]
"""Who calls, below the package; the line; who is called."""
_OWN: Final = str(Path(taskbound.__file__).parent)
_NEVER: Final = ("__exit__", "__hash__", "__eq__")
_LOCKS: Final = frozenset({"lock", "RLock"})
_GENERATES: Final = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


def sites_of(work: Callable[[], object]) -> dict[Site, int]:
    """Each site that this comes to, and how many calls of anything came before its first one."""
    found: dict[Site, int] = {}
    seen = [0]

    def look(frame: FrameType, event: str, what: Any) -> None:
        if event in {"call", "c_call"}:
            seen[0] += 1
            if (site := _site(frame, event, what)) is not None:
                found.setdefault(site, seen[0])

    sys.setprofile(look)
    try:
        work()
    finally:
        sys.setprofile(None)
    return found


def failing(work: Callable[[], str], site: Site, after: int, error: Exception) -> tuple[str | None, bool]:
    """What this gives if the site fails with this error the first time, and whether it was come to.

    Nothing is given where an error comes out of it.

    Args:
        work: What is done.
        site: Which call fails.
        after: How many calls of anything come before it at least.
        error: What the call raises.
    """
    seen, failed = [0], [False]

    def fail(frame: FrameType, event: str, what: Any) -> None:
        if event not in {"call", "c_call"}:
            return
        seen[0] += 1
        # Some may be made once in a process, and be known the second time.
        if seen[0] >= after - 200 and not failed[0] and _site(frame, event, what) == site:
            failed[0] = True
            del frame, what  # the error's traceback would keep what is called, such as a cursor with its rows
            raise error

    sys.setprofile(fail)
    try:
        return work(), failed[0]
    except Exception:  # noqa: BLE001 - whatever it is, nothing was given
        return None, failed[0]
    finally:
        sys.setprofile(None)


def _site(frame: FrameType, event: str, what: Any) -> Site | None:
    if event == "call":
        caller, called = frame.f_back, frame.f_code.co_qualname
        if caller is None or frame.f_code.co_flags & _GENERATES:
            return None
    else:
        caller, called = frame, getattr(what, "__qualname__", str(what))
        if type(getattr(what, "__self__", None)).__name__ in _LOCKS:
            return None
    file = caller.f_code.co_filename
    if called.endswith(_NEVER):
        return None
    return (file[len(_OWN) :], caller.f_lineno, called) if file.startswith(_OWN) else None

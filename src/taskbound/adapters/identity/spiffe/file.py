"""Reads a trust bundle from a file, after changes and before it becomes stale.

1. The file belongs to the daemon's account or root and others can't write it: its writer can create agents.
2. A malformed file is ignored, and the previous bundle counts until it is stale.
3. One descriptor is checked and read: a regular file within the size bound.
"""

from __future__ import annotations

import asyncio
import os
import stat
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from taskbound.adapters.identity.spiffe.x509 import require_authority_certificates
from taskbound.core.clock import seconds
from taskbound.core.identity.trust import MOST_BYTES, TrustFileError, parse_bundle

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from taskbound.core.identity.trust import Bundle, Trust


_LOOK: Final = 1.0
"""Seconds between two looks whether the file is another one."""
_OTHERS: Final = 0o022
_PART: Final = 10


class FileBundles:
    """The `BundleSource` of files; `look` is the poll interval in seconds."""

    def __init__(self, *, look: float = _LOOK) -> None:
        self._look = look

    async def states(self, trust: Trust) -> AsyncGenerator[Bundle, None]:
        """Yields the bundle after changes and before it becomes stale; raises as `read_bundle_file`."""
        loop = asyncio.get_running_loop()
        while True:
            seen, bundle = _read(trust.place)
            require_authority_certificates(trust.domain, bundle)
            yield bundle
            trust = replace(trust, bundle=bundle.document)
            until = loop.time() + min(trust.every, trust.bound // _PART) / seconds(1)
            while loop.time() < until and seen == _seen(trust.place):  # noqa: ASYNC110 -- it tells nobody
                await asyncio.sleep(self._look)


def read_bundle_file(place: str) -> Bundle:
    """Returns the bundle in a file (rules 1 to 3)."""
    return _read(place)[1]


def _read(place: str) -> tuple[tuple[int, ...], Bundle]:
    try:
        held = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise TrustFileError(f"the bundle's file can't be opened: {error.strerror}") from error
    try:
        found = os.fstat(held)
        if not stat.S_ISREG(found.st_mode):
            raise TrustFileError("the bundle's place is no file")  # 3
        if found.st_uid not in {0, os.geteuid()} or found.st_mode & _OTHERS:
            raise TrustFileError("other accounts could have written the bundle's file")  # 1
        raw = b""
        while part := os.read(held, MOST_BYTES + 1 - len(raw)):
            raw += part
    except OSError as error:
        raise TrustFileError(f"the bundle's file can't be read: {error.strerror}") from error
    finally:
        os.close(held)
    return _key(found), parse_bundle(raw)


def _seen(place: str) -> tuple[int, ...]:
    try:
        return _key(os.stat(place))  # noqa: PTH116 -- no object for a path that is looked at each second
    except OSError:
        return ()


def _key(found: os.stat_result) -> tuple[int, ...]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns

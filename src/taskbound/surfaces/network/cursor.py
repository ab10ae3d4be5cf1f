"""Cursors: where the next page of a list begins, given out and taken back as one opaque text.

1. A cursor says which question it continues: the route and the other parameters. With another one it is none.
2. It is sealed by a key of this process; one that was changed, or comes from before a restart, is refused,
   and the list is begun again.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import canonical
from taskbound.surfaces.network.errors import BadCursorError
from taskbound.wire.jose.compact import decode_base64url, encode_base64url

if TYPE_CHECKING:
    from collections.abc import Mapping


_SEAL: Final = 16
_LONGEST: Final = 512


class Cursors:
    """Gives them out and takes them back."""

    def __init__(self, key: bytes) -> None:
        """Seal with this key."""
        self._key = key

    def give(self, path: str, query: Mapping[str, str], before: str) -> str:
        """The cursor of the page that follows this name."""
        raw = before.encode()
        return encode_base64url(self._seal(path, query, raw) + raw)

    def take(self, path: str, query: Mapping[str, str], cursor: str) -> str:
        """The name that a page follows.

        Raises:
            BadCursorError: The cursor is none, or another question's (rules 1 and 2).
        """
        raw = decode_base64url(cursor) if len(cursor) <= _LONGEST else None
        if raw is None or not hmac.compare_digest(raw[:_SEAL], self._seal(path, query, raw[_SEAL:])):
            raise BadCursorError("the cursor was not given out for this question")
        try:
            return raw[_SEAL:].decode()
        except UnicodeDecodeError as error:
            raise BadCursorError("the cursor was not given out for this question") from error

    def _seal(self, path: str, query: Mapping[str, str], raw: bytes) -> bytes:
        asked = canonical({"path": path, "query": dict(query)})
        return hmac.digest(self._key, sha256(asked).digest() + raw, "sha256")[:_SEAL]

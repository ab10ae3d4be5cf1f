"""Where AuthZEN is spoken, and the id that a request there has for whoever sent it (AuthZEN 1.0 §10).

1. AuthZEN is spoken at whatever lies below `/access/`, whether it is served or not, and at its metadata.
2. An answer there has the id of its request, the same bytes. What is between two visible characters of ASCII
   may be spaces; of what is around them HTTP makes nothing.
3. An id that can't be given back is never left out without a word: the request is refused. That is one with a
   control character or a tab, one over its bound, and any of several, of which nobody can say which is meant.
   So is one with bytes beyond ASCII: who reads them as Latin-1, as UTF-8 or not at all finds another id, and
   terminals obey some of them. An empty header has no id in it.
4. It names nothing here, makes no two requests one, and stands in no log, record or error.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from taskbound.surfaces.network.authzen.errors import BadRequestIdError

if TYPE_CHECKING:
    from collections.abc import Sequence


METADATA: Final = "/.well-known/authzen-configuration"
REQUEST_ID: Final = "X-Request-ID"
LONGEST: Final = 200
"""Characters of an id (rule 3)."""
_BELOW: Final = "/access/"
_NAME: Final = REQUEST_ID.lower().encode("ascii")
_VISIBLE: Final = re.compile(rb"[ -~]*")


def require_request_id(target: str, fields: Sequence[tuple[bytes, bytes]]) -> None:
    """Go on only with a request whose id can be given back, where AuthZEN is spoken (rule 3).

    Args:
        target: What is asked for, as it was written.
        fields: Names in lower case and values of headers, in order.

    Raises:
        BadRequestIdError: It can't; the words hold nothing of it (rule 4).
    """
    wrong = _wrong_with(_ids(fields)) if _is_spoken(target) else ""
    if wrong:
        raise BadRequestIdError(wrong)


def told_back(target: str, fields: Sequence[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...] | None:
    """The headers of every answer to a request (rule 2); none where AuthZEN is not spoken.

    Args:
        target: What is asked for, as it was written.
        fields: Names in lower case and values of headers, in order.
    """
    if not _is_spoken(target):
        return None
    ids = _ids(fields)
    if _wrong_with(ids):
        return ()  # it is being refused
    return tuple((REQUEST_ID, one.decode("ascii")) for one in ids if one)


def _wrong_with(ids: Sequence[bytes]) -> str:
    """Why these can't be given back (rule 3); empty where they can."""
    if len(ids) > 1:
        return f"the request has {len(ids)} ids, and an answer gives one back"
    if any(len(one) > LONGEST for one in ids):
        return f"the id of the request is over {LONGEST} characters long"
    if any(_VISIBLE.fullmatch(one) is None for one in ids):
        return "the id of the request is not of visible characters of ASCII"
    return ""


def _ids(fields: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
    return [value for name, value in fields if name == _NAME]


def _is_spoken(target: str) -> bool:
    """Whether AuthZEN is spoken there (rule 1)."""
    path = target.partition("?")[0]
    return path.startswith(_BELOW) or path == METADATA

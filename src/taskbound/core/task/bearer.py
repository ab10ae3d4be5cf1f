"""A bearer: the text that lets a client in who can't be known by its process, for exactly one task.

1. It names its task, and proves itself with a secret of 256 bits behind the point. What it opens is that
   task and no other.
2. Only its SHA-256 is kept. Two digests are compared in constant time.
3. A text that is none is refused like a wrong one, and never repeated: it may be a right one, of another
   place.
"""

from __future__ import annotations

import re
from hashlib import sha256
from hmac import compare_digest
from typing import Final

from taskbound.core.task.errors import BadBearerError

__all__ = ["bearer_digest", "bearer_of", "require_same_bearer", "task_of_bearer"]

_BEARER: Final = re.compile(r"(tsk_[a-z0-9]{26,40})\.[A-Za-z0-9_-]{43}", re.ASCII)


def bearer_of(task: str, secret: str) -> str:
    """The bearer of a task with this secret: 43 characters of base64url, 256 bits."""
    return f"{task}.{secret}"


def task_of_bearer(bearer: str) -> str:
    """The id of the task that a bearer says it is for (rule 1).

    Raises:
        BadBearerError: It is no bearer (rule 3).
    """
    found = _BEARER.fullmatch(bearer)
    if found is None:
        raise BadBearerError("the bearer is none")
    return found[1]


def bearer_digest(bearer: str) -> str:
    """What is kept of a bearer (rule 2): its SHA-256, in hexadecimal."""
    return sha256(bearer.encode("utf-8", "replace")).hexdigest()


def require_same_bearer(kept: str, shown: str) -> None:
    """Go on only when both are the digest of one bearer (rule 2); empty is that of none.

    Raises:
        BadBearerError: They are not.
    """
    if not kept or not compare_digest(kept.encode(), shown.encode("utf-8", "replace")):
        raise BadBearerError("the bearer opens no task, or another one has taken its place")

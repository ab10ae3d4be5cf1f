"""Errors of the API itself, and the status of every error.

1. The status is the family's (`core.errors.FAMILIES`), unless the code has its own here.
2. A request without a valid proof is 401, whatever its code.
3. The family in the daemon's fault counts, because most of its errors are no classes of this process.
4. An unknown object is 404: its code says that it is unknown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.errors import FAMILIES, DeniedError, MalformedError, UnavailableError
from taskbound.surfaces.http.errors import STATUSES

if TYPE_CHECKING:
    from collections.abc import Mapping


class BadQueryError(MalformedError):
    """The path or the query of a request has something that the route does not accept."""

    code = "bad-query"
    remedy = "send each parameter of the route once, percent-encoded; see `/openapi.json`"


class BadBodyError(MalformedError):
    """The body of a request is not what the route accepts."""

    code = "bad-body"
    remedy = "send one JSON object with the route's members; see `/openapi.json`"


class BadCursorError(MalformedError):
    """A cursor was not issued here, or was issued for another query."""

    code = "bad-page-cursor"
    remedy = "begin again without one; a cursor is sent back as it came, with the same parameters"


class NotNavigatedError(DeniedError):
    """A page for a person is framed, fetched or prefetched by another page."""

    code = "not-navigated"
    remedy = "open the address in a window of its own"


class ApiBusyError(UnavailableError):
    """The API has too many open requests to the daemon."""

    code = "api-busy"
    remedy = "wait for as long as `Retry-After` says"


_STATUS: Final[Mapping[str, int]] = {
    **STATUSES,
    "too-many-requests": 429,
    "key-reused": 422,
    "answer-unknown": 409,
    "no-proof": 401,
    "step-up": 401,
    "no-task": 404,
    "not-holder": 409,
    "too-many-open": 429,
    "too-many-refusals": 429,
}
_ABSENT: Final = 404


def status_of(code: str, family: str) -> int:
    """Returns the HTTP status of a code; an unknown family is an unexpected error."""
    status = FAMILIES.get(family, FAMILIES[""]).http_status
    if family == "unproven":
        return status  # 2
    if family == "denied" and code.startswith("unknown-"):
        return _ABSENT  # 4
    return _STATUS.get(code, status)

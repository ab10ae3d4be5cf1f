"""Recognizes requests of a person's browser, and the cookie of an authorization request.

1. A page is a top-level navigation (Fetch Metadata): no frame, subresource or prefetch. A program without
   these headers is accepted, because it has no person's cookies.
2. The cookie belongs to one request and its path, is hidden from scripts and other sites' forms, and expires
   with the request. Two of them count as none.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from taskbound.core.token.authorization.errors import NotAskedError
from taskbound.surfaces.network.errors import NotNavigatedError

if TYPE_CHECKING:
    from collections.abc import Mapping


ASK: Final = "/oauth/authorize"
"""Where a client sends a person's browser (RFC 6749 §3.1)."""
_OWN: Final = re.compile(rf"{ASK}/(?P<asked>ask_[a-z0-9_]{{1,60}})(?P<state>/state)?", re.ASCII)
_VALUE: Final = re.compile(r"[A-Za-z0-9_-]{43}\.[a-z0-9._-]{1,63}", re.ASCII)
_NAME: Final = "taskbound-asked"
_LIFE: Final = 300


def methods_of(path: str) -> str:
    """Returns the methods of a page's path in the form of `Allow`; empty for other paths."""
    asked, state = name_of(path)
    return "GET, POST" if asked and not state else "GET" if asked or path == ASK else ""


def name_of(path: str) -> tuple[str, bool]:
    """Returns the request id in a path, empty for none, and whether only its state is asked for."""
    found = _OWN.fullmatch(path)
    return ("", False) if found is None else (found["asked"], found["state"] is not None)


def require_navigated(headers: Mapping[str, str]) -> None:
    """Raises NotNavigatedError for a framed, fetched or prefetched page (rule 1)."""
    dest, mode = headers.get("sec-fetch-dest", "document"), headers.get("sec-fetch-mode", "navigate")
    if (dest, mode) != ("document", "navigate") or "sec-purpose" in headers:
        raise NotNavigatedError("the page is opened by a person, and is no part of another one")


def require_own_script(headers: Mapping[str, str]) -> None:
    """Raises NotNavigatedError unless the page's own script asks (rule 1)."""
    if headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise NotNavigatedError("another page asks what became of a request")


def cookie(asked: str, browser: str, *, secured: bool) -> tuple[str, str]:
    """Returns the header that sets the cookie of this request (rule 2)."""
    plain = f"{_cookie_name(secured=secured)}={browser}; Path={ASK}/{asked}; Max-Age={_LIFE}"
    return "Set-Cookie", f"{plain}; HttpOnly; SameSite=Lax{'; Secure' if secured else ''}"


def read_browser(headers: Mapping[str, str], *, secured: bool) -> str:
    """Returns the value of the cookie (rule 2); raises NotAskedError without one, or for two."""
    pairs = [one.strip().partition("=") for one in headers.get("cookie", "").split(";")]
    found = [value for name, _, value in pairs if name == _cookie_name(secured=secured)]
    if len(found) != 1 or _VALUE.fullmatch(found[0]) is None:
        raise NotAskedError(
            "this browser began no such request",
            remedy="start anew from the client, in a browser that takes cookies of this site",
        )
    return found[0]


def _cookie_name(*, secured: bool) -> str:
    return f"__Secure-{_NAME}" if secured else _NAME

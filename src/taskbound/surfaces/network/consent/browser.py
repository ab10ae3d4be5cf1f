"""Which requests are a browser's that a person drives, and what it is known by.

1. A page is opened as a page: no frame, no part of another page, and nothing that is fetched ahead of whoever
   may never ask for it. Browsers say which it is (Fetch Metadata); a program that says nothing is believed,
   since it has no person's cookies.
2. A browser is known by a cookie of one request, at that request's own path: no script reads it, no page of
   another site has it sent with a form, and it ends when the request does. One that stands twice is none.
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
    """The methods that a path takes where it is a page's, as `Allow` names them; empty where it is none."""
    asked, state = name_of(path)
    return "GET, POST" if asked and not state else "GET" if asked or path == ASK else ""


def name_of(path: str) -> tuple[str, bool]:
    """The request that a path is about, empty for none yet; and whether its state alone is asked for."""
    found = _OWN.fullmatch(path)
    return ("", False) if found is None else (found["asked"], found["state"] is not None)


def require_navigated(headers: Mapping[str, str]) -> None:
    """Go on only with a page that is opened as one (rule 1).

    Raises:
        NotNavigatedError: It is framed, fetched or prefetched.
    """
    dest, mode = headers.get("sec-fetch-dest", "document"), headers.get("sec-fetch-mode", "navigate")
    if (dest, mode) != ("document", "navigate") or "sec-purpose" in headers:
        raise NotNavigatedError("the page is opened by a person, and is no part of another one")


def require_own_script(headers: Mapping[str, str]) -> None:
    """Go on only with what the page's own script asks for (rule 1).

    Raises:
        NotNavigatedError: Another page asks.
    """
    if headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise NotNavigatedError("another page asks what became of a request")


def cookie(asked: str, browser: str, *, secured: bool) -> tuple[str, str]:
    """The header that lets a browser be known again, for this request alone (rule 2)."""
    plain = f"{_cookie_name(secured=secured)}={browser}; Path={ASK}/{asked}; Max-Age={_LIFE}"
    return "Set-Cookie", f"{plain}; HttpOnly; SameSite=Lax{'; Secure' if secured else ''}"


def read_browser(headers: Mapping[str, str], *, secured: bool) -> str:
    """What the browser is known by (rule 2).

    Raises:
        NotAskedError: It shows nothing, or two things.
    """
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

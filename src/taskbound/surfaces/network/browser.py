"""What a browser brings to a page of ours, and what the page may do with it.

1. What changes something is posted by a page of this very origin: `Origin` says so, and is not left out; and
   where the browser says from which site, from the same.
2. A cookie is read here and nowhere else, by its whole name, and counts only where it stands once. Over TLS
   its name begins with `__Host-`: no other host, and nothing without TLS, can have set it. Browsers differ
   in whether they take such a cookie without TLS, so on the loopback it has a plain name; there another
   server of this machine can read it, and set one of its own, as ports do not count for cookies.
3. What a page answers forbids scripts, frames, other sources and being kept. Its address goes to nobody: a
   page that posts tells its own origin alone, as without that browsers send no `Origin`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from taskbound.surfaces.http.errors import ForeignOriginError

if TYPE_CHECKING:
    from collections.abc import Mapping


_VALUE: Final = re.compile(r"[A-Za-z0-9._~-]{1,512}", re.ASCII)
_POLICY: Final = (
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_FORBIDDEN: Final = (
    ("Content-Security-Policy", _POLICY),
    ("X-Frame-Options", "DENY"),
    ("Cache-Control", "no-store"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)


def require_posted(headers: Mapping[str, str], origin: str) -> None:
    """Go on only with what a page of ours has posted (rule 1).

    Raises:
        ForeignOriginError: It comes from elsewhere, or does not say where from.
    """
    if headers.get("origin") != origin or headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise ForeignOriginError("what is posted here comes from a page of ours")


class Cookies:
    """Reads and writes cookies of one origin (rule 2)."""

    def __init__(self, origin: str) -> None:
        """Of this one."""
        self._secured = origin.startswith("https://")
        self._prefix = "__Host-taskbound-" if self._secured else "taskbound-"

    def read(self, headers: Mapping[str, str], name: str) -> str:
        """The value of a cookie; empty where it is not there, or not once."""
        wanted = self._prefix + name
        parts = (one.strip(" \t").partition("=") for one in headers.get("cookie", "").split(";"))
        found = [value for own, _, value in parts if own == wanted]
        return found[0] if len(found) == 1 and _VALUE.fullmatch(found[0]) else ""

    def write(self, name: str, value: str, seconds: int) -> tuple[str, str]:
        """The header that sets a cookie for so long; 0 takes it away."""
        secured = "; Secure" if self._secured else ""
        told = f"{self._prefix}{name}={value}; Path=/; Max-Age={seconds}{secured}; HttpOnly; SameSite=Lax"
        return "Set-Cookie", told


def headers_of(*, posts: bool = False) -> tuple[tuple[str, str], ...]:
    """The headers of a page; `posts` for one with a form (rule 3)."""
    return (*_FORBIDDEN, ("Referrer-Policy", "same-origin" if posts else "no-referrer"))

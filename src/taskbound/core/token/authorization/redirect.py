"""Redirect URIs of clients and their comparison.

1. Allowed are `https`, `http` at a loopback address or `localhost`, and a private-use scheme for clients
   registered by a person (RFC 8252 §7.1). Refused are fragments, users, dot segments, ambiguous escapes, and
   schemes that run or read something.
2. Comparison is exact (RFC 9700 §4.1.3), except for the port of a loopback *address* (RFC 8252 §7.3).
   `localhost` is a name that may resolve elsewhere, so its port must match.
3. Answer parameters follow the URI's own, which must not collide with them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.scope.constraints.url import read_url
from taskbound.core.scope.values import Unmet
from taskbound.core.token.authorization.errors import BadRedirectError

if TYPE_CHECKING:
    from collections.abc import Sequence


_LONGEST: Final = 2048
_OWN_SCHEME: Final = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]{1,62}):(?P<rest>/{0,2}[A-Za-z0-9._~/-]+)", re.ASCII
)
_RUN = "about blob chrome data file filesystem intent jar javascript ms-msdt search-ms vbscript view-source"
_ASK = "content ftp ftps gopher http https ldap mailto sftp smb ssh tel telnet ws wss"
_NEVER: Final = frozenset(_RUN.split(" ") + _ASK.split(" "))
"""Schemes that run or read something, or prompt the user (rule 1)."""
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1"})
_NAME: Final = "localhost"
_OURS: Final = frozenset({"code", "error", "error_description", "iss", "state"})
_PLAIN: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    """One redirect URI."""

    text: str
    """As it was written; what is compared, and what is answered at."""
    host: str
    """What a person is shown: the host, or the scheme of a program's own."""
    port_free: bool = False
    """Whether the port is the program's to choose (rule 2)."""
    beside: str = ""
    """All of it but the port, where the port is free."""


def parse_redirect(text: str, *, registered: bool) -> Redirect:
    """Parses a redirect URI (rule 1); only a `registered` client may have a private-use scheme."""
    if not text or len(text) > _LONGEST or "#" in text:
        raise BadRedirectError("a redirect URI has no fragment, and at most 2048 characters")
    own = _OWN_SCHEME.fullmatch(text)
    if own is not None and own["scheme"] not in _NEVER:
        if not registered:
            raise BadRedirectError("a scheme of its own has only a client that a person registered here")
        if any(part in {".", ".."} for part in own["rest"].split("/")):
            raise BadRedirectError("a redirect URI has no dot segments")
        return Redirect(text=text, host=f"{own['scheme']}:")
    found = read_url(text)
    if isinstance(found, Unmet) or found.scheme not in {"http", "https"}:
        raise BadRedirectError("a redirect URI is https, or http at this machine, in its plain form")
    if not text.startswith(f"{found.scheme}://"):
        raise BadRedirectError("the scheme of a redirect URI is written in small letters")
    if _names(text) & _OURS:
        raise BadRedirectError("a redirect URI has none of the answer's own parameters")  # 3
    if found.scheme == "http" and found.host not in _LOOPBACK and found.host != _NAME:
        raise BadRedirectError("a redirect URI that is not of this machine is https")
    free = found.scheme == "http" and found.host in _LOOPBACK
    return Redirect(text=text, host=found.host, port_free=free, beside=_without_port(text) if free else "")


def require_redirect(asked: str, known: Sequence[Redirect]) -> Redirect:
    """Returns the URI if it is one of the client's (rule 2); raises BadRedirectError."""
    for one in known:
        if one.text == asked:
            return one
    for one in known:
        if one.port_free:
            wanted = parse_redirect(asked, registered=False)
            if wanted.port_free and wanted.beside == one.beside:
                return wanted
    raise BadRedirectError("the answer would go to an address that is not the client's")


def answer_at(redirect: Redirect, members: Sequence[tuple[str, str]]) -> str:
    """The redirect URI with the answer's parameters (rule 3)."""
    query = "&".join(f"{name}={_quoted(value)}" for name, value in members)
    return f"{redirect.text}{'&' if '?' in redirect.text else '?'}{query}"


def _without_port(text: str) -> str:
    scheme, _, rest = text.partition("://")
    at = min((rest.find(one) for one in "/?" if one in rest), default=len(rest))
    host = re.sub(r":[0-9]+\Z", "", rest[:at])
    return f"{scheme}://{host}{rest[at:]}"


def _names(text: str) -> set[str]:
    _, _, query = text.partition("?")
    return {one.partition("=")[0] for one in query.split("&")} if query else set()


def _quoted(value: str) -> str:
    return "".join(
        one if one in _PLAIN else "".join(f"%{byte:02X}" for byte in one.encode("utf-8", "surrogatepass"))
        for one in value
    )

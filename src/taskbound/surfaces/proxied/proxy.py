"""Which proxy asks, and how it is told: each takes something else for *no*.

1. What passes is said in the one form that the proxy takes for it. Any other answer, and none, is *no* to it.
2. nginx as the guide has it sends the request itself, whole, and passes it on when it is told to
   (`X-Accel-Redirect` to a named location, which nobody can ask for). A refusal goes to the client as it is.
3. The subrequest of nginx' `auth_request` knows two answers beside yes: 401, whose challenge nginx passes on
   by itself, and 403. Any other is 500 to the client, without a word. So all that is no 401 is 403 there, and
   its challenge stands in `Taskbound-Challenge`, for a line of nginx' configuration to pass on.
4. Envoy takes 5xx for a guard that failed: it drops the challenge, and lets the request *pass* where
   `failure_mode_allow` is set. So a guard that answers says 403 instead, and what it could not tell is no
   leave to pass, whatever that setting is.
5. What became of the status by that stands in `Taskbound-Status`.
6. No answer may be kept by a proxy: one yes is for one request. nginx hands the `Cache-Control` of what told
   it to pass something on to the client, as if the service had said it, so it is told in a header of its own.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from taskbound.sdk.verify.refused import Told

if TYPE_CHECKING:
    from collections.abc import Mapping


LOCATION: Final = "@permitted"
"""The named location of nginx' that passes requests on to the service."""
_FINE: Final = 200
_UNPROVEN: Final = 401
_DENIED: Final = 403
_FAILED: Final = 500
_CHALLENGE: Final = "WWW-Authenticate"
_UNKEPT: Final = ("Cache-Control", "no-store")


class Proxy(Enum):
    """What asks; its value is how the guard's file says it."""

    NGINX = "nginx"
    AUTH_REQUEST = "nginx-auth-request"
    ENVOY = "envoy"


_YES: Final[Mapping[Proxy, tuple[tuple[str, str], ...]]] = {
    Proxy.NGINX: (("X-Accel-Redirect", LOCATION), ("X-Accel-Expires", "0")),
    Proxy.AUTH_REQUEST: (_UNKEPT,),
    Proxy.ENVOY: (_UNKEPT,),
}


def tell_yes(proxy: Proxy) -> Told:
    """That the request passes (rules 1 and 6)."""
    return Told(_FINE, (*_YES[proxy], ("Content-Length", "0")), b"")


def tell_no(proxy: Proxy, told: Told) -> Told:
    """A refusal, as this proxy passes it on (rules 2 to 5).

    Args:
        proxy: Which one.
        told: The refusal, as a service itself tells it.
    """
    changed = proxy is not Proxy.NGINX and told.status >= _FAILED
    headers = told.headers
    if proxy is Proxy.AUTH_REQUEST and told.status != _UNPROVEN:
        changed = told.status != _DENIED
        headers += tuple(("Taskbound-Challenge", value) for name, value in headers if name == _CHALLENGE)
    if changed:
        headers += (("Taskbound-Status", str(told.status)),)
    return told._replace(status=_DENIED if changed else told.status, headers=headers)

"""Answers in the form that each proxy takes as yes or no.

1. Only the proxy's exact form of yes lets a request pass; any other answer, or none, means no.
2. nginx in the guide's configuration sends the whole request and forwards it after `X-Accel-Redirect` to an
   internal location. A refusal goes to the client unchanged.
3. nginx `auth_request` knows 401, whose challenge it forwards, and 403; other statuses become 500. So any
   refusal but 401 is 403, with its challenge in `Taskbound-Challenge` for the configuration to forward.
4. Envoy treats 5xx as a failed guard, drops the challenge and passes the request if `failure_mode_allow` is
   set. So the guard sends 403 instead.
5. `Taskbound-Status` has the original status.
6. Answers must not be cached. nginx gives the `Cache-Control` of an accepting answer to the client, so for
   nginx it is sent in a separate header.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from taskbound.sdk.verify.refused import HttpRefusal

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
    """The kind of proxy; the value is its name in the guard's file."""

    NGINX = "nginx"
    AUTH_REQUEST = "nginx-auth-request"
    ENVOY = "envoy"


_YES: Final[Mapping[Proxy, tuple[tuple[str, str], ...]]] = {
    Proxy.NGINX: (("X-Accel-Redirect", LOCATION), ("X-Accel-Expires", "0")),
    Proxy.AUTH_REQUEST: (_UNKEPT,),
    Proxy.ENVOY: (_UNKEPT,),
}


def tell_yes(proxy: Proxy) -> HttpRefusal:
    return HttpRefusal(_FINE, (*_YES[proxy], ("Content-Length", "0")), b"")


def tell_no(proxy: Proxy, told: HttpRefusal) -> HttpRefusal:
    changed = proxy is not Proxy.NGINX and told.status >= _FAILED
    headers = told.headers
    if proxy is Proxy.AUTH_REQUEST and told.status != _UNPROVEN:
        changed = told.status != _DENIED
        headers += tuple(("Taskbound-Challenge", value) for name, value in headers if name == _CHALLENGE)
    if changed:
        headers += (("Taskbound-Status", str(told.status)),)
    return told._replace(status=_DENIED if changed else told.status, headers=headers)

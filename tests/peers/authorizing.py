"""Authorization servers as targets: what speaks to them, plugged as the broker plugs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from taskbound.adapters.targets.oauth import OauthTarget
from taskbound.adapters.upstream.mcp.http.connect import look_up
from taskbound.core.target import OauthAccess, OauthPlace
from taskbound.wiring.authorizing import AuthorizationServer

if TYPE_CHECKING:
    from taskbound.adapters.upstream.mcp.http.connect import LookUp
    from taskbound.core.target import AdminAccess, TargetFile


CLIENT = "taskbound"
SECRET = "a-secret-of-the-client"


def client_of(method: str = "client_secret_basic", **more: Any) -> dict[str, Any]:
    """The client, as `oidc-provider` registers it."""
    return {
        "client_id": CLIENT,
        "client_secret": SECRET,
        "token_endpoint_auth_method": method,
        "response_types": [],
        **more,
    }


def where_at(base: str, **changes: Any) -> dict[str, Any]:
    """Where an `oidc-provider` is, as a target's file says it; what is changed to None is left out."""
    whole = {
        "client": CLIENT,
        "method": "client_secret_basic",
        "token": f"{base}/token",
        "revocation": f"{base}/token/revocation",
        "introspection": f"{base}/token/introspection",
        "lasts": 600,
        **changes,
    }
    return {name: one for name, one in whole.items() if one is not None}


def speaking(place: OauthPlace, secret: str = SECRET, look: LookUp = look_up) -> OauthTarget:
    """What speaks to the server at this place."""
    return OauthTarget(place, OauthAccess(secret=secret), AuthorizationServer(look))


def oauth_plug(file: TargetFile, access: AdminAccess) -> OauthTarget:
    """The same, of a target's file."""
    assert isinstance(file.place, OauthPlace)
    assert isinstance(access, OauthAccess)
    return speaking(file.place, access.secret)

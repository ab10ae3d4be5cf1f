"""Refusals of proxied requests beyond the verifier's own errors.

The verifier chooses the status (`sdk.verify.refused`); `proxy` adapts it to the proxy.
"""

from __future__ import annotations

from taskbound.core.errors import DeniedError, UnavailableError


class OtherHostError(DeniedError):
    """The request's host is not one of this guard's services."""

    code = "other-host"
    remedy = "name the host in `hosts` of the guard's file, if the proxy passes it on to this very service"


class BodyUnseenError(DeniedError):
    """The proxy did not show the request's complete body."""

    code = "body-not-shown"
    remedy = "have the proxy show whole bodies, as docs/guides/proxies.md does; `auth_request` shows none"


class AskerLeftError(UnavailableError):
    """The proxy disconnected before the check began."""

    code = "asker-left"
    remedy = "send the same again: nothing was done; where it stays so, let the proxy wait longer"


class GuardFailedError(UnavailableError):
    """An unexpected error occurred while a request was checked."""

    code = "guard-failed"
    remedy = "look at the guard's log, and report what it says"

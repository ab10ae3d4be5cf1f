"""Why a request that a proxy shows does not pass, where the verifier's own errors don't say it.

Which status a refusal has is the verifier's word (`sdk.verify.refused`), and what becomes of it the proxy's
(`proxy`).
"""

from __future__ import annotations

from taskbound.core.errors import DeniedError, UnavailableError


class OtherHostError(DeniedError):
    """The request is for another host than the services that this guard stands before."""

    code = "other-host"
    remedy = "name the host in `hosts` of the guard's file, if the proxy passes it on to this very service"


class BodyUnseenError(DeniedError):
    """The request has a body that the proxy did not show, or not whole."""

    code = "body-not-shown"
    remedy = "have the proxy show whole bodies, as docs/guides/proxies.md does; `auth_request` shows none"


class AskerLeftError(UnavailableError):
    """The proxy that asked waits no more, so nothing was begun."""

    code = "asker-left"
    remedy = "send the same again: nothing was done; where it stays so, let the proxy wait longer"


class GuardFailedError(UnavailableError):
    """What nobody foresaw happened while a request was looked at."""

    code = "guard-failed"
    remedy = "look at the guard's log, and report what it says"

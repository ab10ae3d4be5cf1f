"""Why nobody is signed in."""

from __future__ import annotations

from taskbound.core.errors import DeniedError, MalformedError, UnavailableError


class NotSignedInError(DeniedError):
    """Nobody is signed in with this browser, or no more."""

    code = "not-signed-in"
    remedy = "sign in at `/sign-in`"


class UnknownSignInError(DeniedError):
    """No sign-in waits for this: it came before, took too long, or never began here."""

    code = "unknown-sign-in"
    remedy = "begin again at `/sign-in`"


class ElsewhereError(DeniedError):
    """A sign-in is brought by another browser than the one that began it."""

    code = "sign-in-elsewhere"
    remedy = "begin again at `/sign-in`, and finish in the same browser"


class AnotherIssuerError(DeniedError):
    """The answer to a sign-in is another issuer's than the one that was asked."""

    code = "sign-in-another-issuer"
    remedy = "begin again at `/sign-in`; if that comes back, tell whoever runs the daemon"


class SignInDeniedError(DeniedError):
    """The issuer let nobody in."""

    code = "sign-in-denied"
    remedy = "begin again at `/sign-in`, or ask whoever runs the issuer"


class SignInTokenError(DeniedError):
    """The ID token that an issuer gave is not the one of this sign-in."""

    code = "sign-in-token"
    remedy = "begin again at `/sign-in`; if that comes back, tell whoever runs the issuer"


class NotFreshError(DeniedError):
    """The issuer does not say that the person proved themselves as lately as was wanted."""

    code = "sign-in-not-fresh"
    remedy = "sign in anew at the issuer; it has to support `max_age` and say `auth_time`"


class NotStrongError(DeniedError):
    """The issuer does not say that the person proved themselves as well as was wanted."""

    code = "sign-in-not-strong"
    remedy = "sign in at the issuer in the way that is wanted; it has to say so in `acr`"


class TooManySignInsError(UnavailableError):
    """As many sign-ins wait as may."""

    code = "too-many-sign-ins"
    remedy = "try again in some minutes"


class BadReturnError(MalformedError):
    """Nobody is sent there after a sign-in, or it is wanted in a way that can't be."""

    code = "bad-sign-in"
    remedy = "leave `return`, `max_age` and `acr` out, or name a page of ours"

"""A person's sign-in at an issuer, and the session that it gives."""

from __future__ import annotations

from taskbound.core.identity.sign_in.errors import (
    AnotherIssuerError,
    BadReturnError,
    ElsewhereError,
    NotFreshError,
    NotSignedInError,
    NotStrongError,
    SignInDeniedError,
    SignInTokenError,
    TooManySignInsError,
    UnknownSignInError,
)
from taskbound.core.identity.sign_in.secret import (
    challenge_of,
    nonce_of,
    secret_digest,
    split_secret,
    verifier_of,
)
from taskbound.core.identity.sign_in.session import (
    LASTS,
    Session,
    require_rests,
)
from taskbound.core.identity.sign_in.waiting import (
    OF_ONE,
    TOGETHER,
    UNSAID,
    WAITS,
    Brought,
    SaidOfPerson,
    SignIn,
    parse_demands,
    parse_return,
    place_of,
    require_answer,
    require_demands,
)

__all__ = [
    "LASTS",
    "OF_ONE",
    "TOGETHER",
    "UNSAID",
    "WAITS",
    "AnotherIssuerError",
    "BadReturnError",
    "Brought",
    "ElsewhereError",
    "NotFreshError",
    "NotSignedInError",
    "NotStrongError",
    "SaidOfPerson",
    "Session",
    "SignIn",
    "SignInDeniedError",
    "SignInTokenError",
    "TooManySignInsError",
    "UnknownSignInError",
    "challenge_of",
    "nonce_of",
    "parse_demands",
    "parse_return",
    "place_of",
    "require_answer",
    "require_demands",
    "require_rests",
    "secret_digest",
    "split_secret",
    "verifier_of",
]

"""Why an OAuth client can't be pinned, and why there is no token for it."""

from __future__ import annotations

from taskbound.core.errors import DeniedError, MalformedError, UnavailableError


class BadClientError(MalformedError):
    """The OAuth client can't be pinned as it is described."""

    code = "bad-oauth-client"
    remedy = (
        "give `--oauth client=ID`, `--oauth issuer=URL` or `--oauth token=URL`, and `--oauth method=` how it"
        " proves itself"
    )


class BadMetadataError(MalformedError):
    """What an authorization server says of itself can't be believed."""

    code = "bad-oauth-metadata"
    remedy = (
        "name the token endpoint yourself with `--oauth token=URL`, as whoever runs the issuer documents it"
    )


class OtherIssuerError(DeniedError):
    """The server says that others issue its tokens, or that it is another resource."""

    code = "other-issuer"
    remedy = "ask whoever gave you the client which issuer and which server it is for"


class TokenRefusedError(DeniedError):
    """The authorization server gives this client no token."""

    code = "token-refused"
    remedy = "see that the client's secret or key, its scopes and its resource are those that are registered"


class TokenTooWideError(DeniedError):
    """A token is for more than was asked for, and was not used."""

    code = "token-too-wide"
    remedy = (
        "see at the issuer which scopes the client is given: have it registered for less, or pin the server"
        " with them (`--oauth scope=`)"
    )


class BadTokenError(UnavailableError):
    """What the token endpoint answered is no token that could be used."""

    code = "bad-token"
    remedy = "see that the pinned token endpoint is one (RFC 6749), and ask whoever runs it"


class TokenUnavailableError(UnavailableError):
    """The token endpoint is not reached, or gives no token now."""

    code = "no-token"
    remedy = "try again later; see that the authorization server runs"


class TokenUnreachedError(TokenUnavailableError):
    """The token endpoint is not reached: nothing was sent to it."""

    code = "no-token-endpoint"

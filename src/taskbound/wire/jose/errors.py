"""Errors of tokens and of keys that verify them."""

from __future__ import annotations

from taskbound.core.errors import DeniedError, MalformedError


class TokenSizeError(MalformedError):
    """The token has too many characters."""

    code = "token-size"
    remedy = "send a smaller token; large content goes by reference with its digest"


class TokenSegmentsError(MalformedError):
    """The text is not three segments with two dots between them (RFC 7515 §7.1)."""

    code = "token-segments"
    remedy = "send a signed token in compact form: no JSON form, no encrypted token, none without a signature"


class TokenEncodingError(MalformedError):
    """A segment is not the base64url text of its bytes (RFC 7515 §2)."""

    code = "token-encoding"
    remedy = "write base64url without padding, other characters or unused bits"


class TokenHeaderError(MalformedError):
    """The header does not have the members of its kind of token (`alg`, `kid`, `typ`), each a text."""

    code = "token-header"
    remedy = "sign with a header of `alg`, `kid` and `typ` and no more"


class TokenKindError(MalformedError):
    """The token is of another kind than the expected one."""

    code = "token-kind"
    remedy = "send a token of the kind named: its `typ`, and its `iss` and claims, are those of that kind"


class TokenAlgorithmError(MalformedError):
    """The header names another algorithm than that of its key or kind of token."""

    code = "token-algorithm"
    remedy = "sign with the algorithm that the key's `alg` names; tokens of ours are signed with ES256"


class TokenSignatureError(MalformedError):
    """The signature does not fit its algorithm, or is a second spelling of one."""

    code = "token-signature"
    remedy = "sign ES256 as `r` and `s` of 32 bytes each with `s` in the lower half, or use Ed25519"


class TokenClaimsError(MalformedError):
    """A claim is missing, has another type, or is not one of this kind of token."""

    code = "token-claims"
    remedy = "give each claim that the kind requires, with its type"


class TokenLifetimeError(MalformedError):
    """The token's times are not a lifetime that its kind may have."""

    code = "token-lifetime"
    remedy = "issue a token that expires after `iat` and `nbf`, and within the time that its kind may live"


class TokenKeyError(DeniedError):
    """No key of the trusted issuer has the header's `kid`."""

    code = "token-key"
    remedy = "sign with a key that was configured for the issuer, or have the new key configured"


class TokenUnprovenError(DeniedError):
    """The signature does not verify with the key."""

    code = "token-unproven"
    remedy = "get the token from its issuer again, and pass it on unchanged"


class TokenIssuerError(DeniedError):
    """The token was issued by another issuer than the trusted one."""

    code = "token-issuer"
    remedy = "get a token from the issuer that is configured here"


class TokenAudienceError(DeniedError):
    """The token has another audience."""

    code = "token-audience"
    remedy = "have the issuer write the audience that is configured here, and no other"


class TokenExpiredError(DeniedError):
    """The token has expired."""

    code = "token-expired"
    remedy = "get a new token from the issuer"


class TokenNotYetError(DeniedError):
    """The token is not valid yet."""

    code = "token-not-yet"
    remedy = "wait until then, or set the issuer's clock right"


class JwkMembersError(MalformedError):
    """A key does not have the members that this reader requires (RFC 7517 §4)."""

    code = "jwk-members"
    remedy = "give `kty`, `crv`, `x` (and `y`), `kid`, `alg` and `use`; ES256 on P-256, or Ed25519"


class JwkPrivateError(MalformedError):
    """The document holds a private key or a secret."""

    code = "jwk-private"
    remedy = "export the public key only; take the private key for exposed if this file went anywhere"


class JwkPointError(MalformedError):
    """The numbers are not a point of the curve, or not a strong enough RSA key."""

    code = "jwk-point"
    remedy = "export the public key again; RSA has 2,048 to 8,192 bits and an odd exponent from 65,537 on"


class JwkSetError(MalformedError):
    """The document is not a set of distinguishable keys (RFC 7517 §5)."""

    code = "jwk-set"
    remedy = "give one key, or `keys` with 1 to 16 keys (64 of an issuer's own) whose `kid` differ"


class BadUriError(MalformedError):
    """The text is not an absolute HTTP URI that can be compared with another (RFC 3986)."""

    code = "bad-uri"
    remedy = "write the whole address: `https`, host, and path, without a user or raw characters"


class DpopCountError(MalformedError):
    """The request has no DPoP proof where one is required, or several (RFC 9449 §4.3)."""

    code = "dpop-count"
    remedy = "send one header `DPoP` with one proof, made for this request"


class DpopMethodError(DeniedError):
    """The proof is for another HTTP method."""

    code = "dpop-method"
    remedy = "make a proof for each request: `htm` is its method, in capitals"


class DpopUriError(DeniedError):
    """The proof is for another address."""

    code = "dpop-uri"
    remedy = "make a proof for each request: `htu` is the address that it goes to, as it is published"


class DpopNonceError(DeniedError):
    """The proof does not have the issued nonce."""

    code = "dpop-nonce"
    remedy = "make the proof anew with the nonce of the last `DPoP-Nonce`"


class DpopWindowError(DeniedError):
    """The proof is too old, or from the future."""

    code = "dpop-window"
    remedy = "make a proof for each request, and set the client's clock right"


class DpopTokenError(DeniedError):
    """The proof is not for the access token of the request."""

    code = "dpop-token"
    remedy = "make the proof with `ath`, the digest of the token that is sent, and without one where none is"


class DpopKeyError(DeniedError):
    """The access token is bound to another key than the proof's."""

    code = "dpop-key"
    remedy = "sign the proof with the key that the token was asked for with"

"""OpenID Connect issuers of workload and person identities."""

from __future__ import annotations

from taskbound.adapters.identity.oidc.keys import IssuerKeys
from taskbound.adapters.identity.oidc.relying import OidcRelyingParty, SecretFiles
from taskbound.adapters.identity.oidc.verifier import OidcVerifier

__all__ = ["IssuerKeys", "OidcRelyingParty", "OidcVerifier", "SecretFiles"]

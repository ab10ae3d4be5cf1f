"""Tokens: rows, keys, signer, single-use claims.

Keys are reachable from the signer's process only; `core.token.key` decides which one signs and when it
retires. `TokenSigner` is a security boundary: the deciding process reaches no key and can only name a row to
sign.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from taskbound.core.dataclass import dataclass
from taskbound.ports.signer import SignerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from taskbound.core.clock import Instant
    from taskbound.core.token import Claim, IssuingKey, Token, TokenKeyState, Use
    from taskbound.core.token.authorization.asked import ConsentRequest
    from taskbound.core.token.authorization.request import Admission, Client, Refresh
    from taskbound.core.token.shared import SharedClaim, Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredClient:
    """A client, and who registered it."""

    namespace: str
    client: Client
    added: Instant
    by: str
    """By name."""


class AuthorizationReads(Protocol):
    """Reads authorizations per namespace; in a transaction, reads lock."""

    def client(self, namespace: str, client: str) -> RegisteredClient | None:
        pass

    def clients(self, namespace: str) -> tuple[RegisteredClient, ...]:
        pass

    def asked(self, namespace: str, asked: str) -> ConsentRequest | None:
        pass

    def asked_by(self, namespace: str, *, typed: str = "", code: str = "") -> ConsentRequest | None:
        pass

    def count_asked(self, namespace: str, since: Instant) -> int:
        """Returns the number of requests since then that wait for a person."""

    def admission(self, namespace: str, admission: str) -> Admission | None:
        pass

    def admissions_of(self, namespace: str, client: str) -> tuple[Admission, ...]:
        """Returns this client's live admissions, by id."""

    def admissions(
        self, namespace: str, *, client: str = "", task: str = "", limit: int = 50, before: str = ""
    ) -> tuple[Admission, ...]:
        """Returns admissions, newest first; empty filters match all; `before` is the last id so far."""

    def refresh(self, namespace: str, digest: str) -> Refresh | None:
        pass


class AuthorizationWrites(AuthorizationReads, Protocol):
    """Writes authorizations."""

    def put_client(self, client: RegisteredClient) -> None:
        """Inserts. MUST raise `ConflictError` if the name exists."""

    def drop_client(self, namespace: str, client: str) -> None:
        pass

    def put_asked(self, asked: ConsentRequest, *, expect: int) -> None:
        """Writes. MUST raise `ConflictError` unless the version is `expect`, 0 for a new row."""

    def drop_asked_of(self, namespace: str, client: str) -> None:
        pass

    def put_admission(self, admission: Admission, *, expect: int) -> None:
        """Writes. MUST raise `ConflictError` as `put_asked` does."""

    def lock_admissions(self, namespace: str, admissions: Collection[str]) -> Mapping[str, Admission]:
        """Locks and returns the existing admissions by id, in any state."""

    def put_refresh(self, refresh: Refresh) -> None:
        """Inserts. MUST raise `ConflictError` if the digest exists."""

    def sweep_asked(self, before: Instant, *, limit: int) -> int:
        """Deletes up to `limit` requests of all namespaces from before this; returns their number."""

    def sweep_refreshes(self, before: Instant, *, limit: int) -> int:
        """Deletes refresh tokens of all namespaces with admissions over before this; returns their number."""


class ClaimWrites(Protocol):
    """Uses single-use claims."""

    def use(self, claims: Sequence[Claim]) -> tuple[Use, ...]:
        """Returns which use of each this is, in order; of two equal claims the earlier is first.

        MUST be one conditional statement each, so that one of all concurrent uses is the first. A used claim
        MUST NOT keep the others from being stored. A claim whose window ended before its kind and namespace
        were swept is late and MUST NOT be the first, also when the sweep is concurrent.
        """

    def sweep(self, before: Instant, *, limit: int) -> int:
        """MUST store in the same transaction the latest window end deleted, which never decreases."""


class TokenKeyGoneError(SignerUnavailableError):
    """The key store has no such key, or destroyed it."""

    code = "token-key-gone"
    remedy = "have a new key made and taken into use; tokens of the one that is gone can still be verified"


class TokenKeyWeakError(SignerUnavailableError):
    """A stored key could be exported or do more than sign, or does not match its name."""

    code = "token-key-weak"
    remedy = (
        "take the key out of use and destroy it, and see who can change keys there; then have a new one made"
    )


class TokenKey(Protocol):
    """A key for ES256 (RFC 7518 §3.4) that never leaves its place."""

    @property
    def kid(self) -> str:
        """Returns the thumbprint of its public half (RFC 7638)."""

    @property
    def public(self) -> bytes:
        """Returns its public JWK (RFC 7517) as canonical JSON, with `kid`, `alg` and `use`."""

    def sign(self, message: bytes) -> bytes:
        """Returns `r` and `s`, 32 bytes each, lower `s`. MUST end in seconds. May raise TokenKeyGoneError."""


class TokenKeyStore(Protocol):
    """Where token signing keys are kept."""

    def make(self) -> TokenKey:
        """MUST be durable on return, and not exportable if the store supports such keys."""

    def open(self, kid: str) -> TokenKey:
        """MUST NOT return another key. May raise TokenKeyGoneError or TokenKeyWeakError."""

    def kids(self) -> tuple[str, ...]:
        """Returns the names of all keys, in order; raises SignerUnavailableError."""

    def destroy(self, kid: str) -> None:
        """Destroys the key, if present; MUST be durable on return. Raises SignerUnavailableError."""


class SharedClaimReads(Protocol):
    """Reads claims kept for services."""

    def claim(self, namespace: str, service: str, txn: str) -> SharedClaim | None:
        pass

    def due(self, before: Instant) -> tuple[tuple[str, str], ...]:
        """Returns namespace and name of each service with claims expired before this."""


class SharedClaimWrites(SharedClaimReads, Protocol):
    """Writes claims of services whose tally is locked."""

    def lock_tally(self, namespace: str, service: str) -> Tally:
        """MUST exclude every caller of any daemon until the transaction ends, also for a new tally."""

    def lock_claim(self, namespace: str, service: str, txn: str) -> SharedClaim | None:
        """As `claim`, current under the tally's lock."""

    def insert(self, claim: SharedClaim) -> None:
        """Inserts. MUST raise `ConflictError` if the service has one for the transaction."""

    def put(self, claim: SharedClaim) -> None:
        """Writes state and answer. MUST raise `ConflictError` if it is missing."""

    def put_tally(self, tally: Tally) -> None:
        """Writes a service's locked tally."""

    def drop(
        self, namespace: str, service: str, before: Instant, *, limit: int
    ) -> tuple[tuple[Instant, int], ...]:
        """Deletes claims expired before this, oldest first; returns the expiry and size of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeKey:
    """A new key that has signed nothing."""

    kid: str
    public: bytes
    """A JWK as canonical JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedList:
    """A status list token with its expiry."""

    text: str
    until: Instant


class TokenSigner(Protocol):
    """MUST make claims from rows read anew, and sign only what is valid at that instant."""

    def sign_token(self, namespace: str, token: str) -> str:
        """Returns the compact token; raises DeniedError if it is invalid or differs from its issue."""

    def sign_status_list(self, number: int) -> SignedList:
        """Returns the status list of current rows; raises DeniedError or UnavailableError."""

    def make_key(self) -> MadeKey:
        """Makes a durable key; raises UnavailableError."""

    def look(self, issuer: str) -> None:
        """Raises UnavailableError unless tokens of this issuer could be signed now."""

    def destroy_keys(self) -> tuple[str, ...]:
        """Destroys private halves that the store no longer uses; returns their names."""


class TokenReads(Protocol):
    """Reads tokens per namespace; keys and status lists are shared by all."""

    def token(self, namespace: str, token: str) -> Token | None:
        pass

    def tokens(
        self, namespace: str, *, task: str = "", agent: str = "", limit: int = 50, before: str = ""
    ) -> tuple[Token, ...]:
        """Returns tokens, newest first; empty filters match all; `before` is the last id so far."""

    def listed(self, number: int, now: Instant) -> tuple[Token, ...]:
        """Returns live tokens of all namespaces in this status list, by place."""

    def is_told(self, namespace: str, task: str, action: str) -> bool:
        """Whether a token of the action may exist outside: also expired or revoked, unless unsigned."""

    def key(self, kid: str) -> IssuingKey | None:
        pass

    def all_keys(self) -> tuple[IssuingKey, ...]:
        """Returns every key in any state, oldest first."""


class TokenWrites(TokenReads, Protocol):
    """Writes tokens and keys."""

    def insert(self, token: Token) -> None:
        """Inserts. MUST raise `ConflictError` for an existing id, or a taken place in its list."""

    def sweep(self, before: Instant, *, limit: int) -> int:
        """Oldest end first. MUST keep tokens of an action without outcome (`is_told`)."""

    def revoke(
        self, namespace: str, tokens: Collection[str], at: Instant, why: str, *, unsigned: bool = False
    ) -> tuple[str, ...]:
        """MUST be conditional, so the first revocation stands; `unsigned` says that no text exists."""

    def lock_tokens(self, namespace: str, tokens: Collection[str]) -> Mapping[str, Token]:
        """Locks and returns the existing tokens by id, in any state."""

    def lock_keys(self, *, moves: bool = False) -> tuple[IssuingKey, ...]:
        """As `all_keys`, locked; `moves` for a caller that changes one."""

    def put_key(self, key: IssuingKey, *, expect: TokenKeyState | None) -> None:
        """MUST raise `ConflictError` if its state is not `expect` (None: absent), or its role is taken."""

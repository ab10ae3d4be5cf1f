"""Ports of tokens: rows, keys, signer, claims.

Of `key`:

They are reachable from the signer's process alone. Which of them signs, and when one is taken out of use, is
decided by who holds them (`core.token.key`): a store only makes, finds, uses and destroys.

Of `signer`:

The port is there for security: the process that decides and records reaches no key, and what it asks to have
signed is only ever the name of a row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from taskbound.core.dataclass import dataclass
from taskbound.ports.signer import SignerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from taskbound.core.clock import Instant
    from taskbound.core.token import Claim, IssuingKey, Token, TokenKeyState, Use
    from taskbound.core.token.authorization.asked import Asked
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
    """Reads of one namespace at a time.

    In a transaction no other one changes what was read until its end.
    """

    def client(self, namespace: str, client: str) -> RegisteredClient | None:
        """The client of this name."""

    def clients(self, namespace: str) -> tuple[RegisteredClient, ...]:
        """Every registered client, by name in order."""

    def asked(self, namespace: str, asked: str) -> Asked | None:
        """The request of this id."""

    def asked_by(self, namespace: str, *, typed: str = "", code: str = "") -> Asked | None:
        """The request of this digest: of what a person types, or of its code."""

    def count_asked(self, namespace: str, since: Instant) -> int:
        """How many requests of after this wait for a person."""

    def admission(self, namespace: str, admission: str) -> Admission | None:
        """The admission of this id."""

    def admissions_of(self, namespace: str, client: str) -> tuple[Admission, ...]:
        """Those of this client that have not ended, by id."""

    def admissions(
        self, namespace: str, *, client: str = "", task: str = "", limit: int = 50, before: str = ""
    ) -> tuple[Admission, ...]:
        """Admissions, newest first; empty filters take all; `before` is the last id of the page before."""

    def refresh(self, namespace: str, digest: str) -> Refresh | None:
        """The refresh token of this digest."""


class AuthorizationWrites(AuthorizationReads, Protocol):
    """Writes."""

    def put_client(self, client: RegisteredClient) -> None:
        """Write a new one. MUST raise `ConflictError` when there is one of this name."""

    def drop_client(self, namespace: str, client: str) -> None:
        """Forget the client of this name; nothing happens when there is none."""

    def put_asked(self, asked: Asked, *, expect: int) -> None:
        """Write a request. MUST raise `ConflictError` when its version is not `expect`, 0 for a new one."""

    def drop_asked_of(self, namespace: str, client: str) -> None:
        """Forget every request of this client."""

    def put_admission(self, admission: Admission, *, expect: int) -> None:
        """Write an admission. MUST raise `ConflictError` as `put_asked` does."""

    def lock_admissions(self, namespace: str, admissions: Collection[str]) -> Mapping[str, Admission]:
        """By id: those of these that exist, whatever they are worth, locked against change."""

    def put_refresh(self, refresh: Refresh) -> None:
        """Write a new one. MUST raise `ConflictError` when its digest is known."""

    def sweep_asked(self, before: Instant, *, limit: int) -> int:
        """Forget requests, of every namespace, of before this, `limit` at most; how many."""

    def sweep_refreshes(self, before: Instant, *, limit: int) -> int:
        """Forget refresh tokens, of every namespace, of admissions that were over before this; how many."""


class ClaimWrites(Protocol):
    """Uses them."""

    def use(self, claims: Sequence[Claim]) -> tuple[Use, ...]:
        """Which use of each this is, in their order; of two that are the same, the one before is the first.

        MUST be one conditional statement for each, so that of all that use one at once, in whatever process,
        exactly one is the first. One that was used before MUST NOT keep the others from being kept. One whose
        window ended by when those of its kind and namespace were forgotten is late, and MUST NOT be the
        first, also where it is forgotten at the same time.
        """

    def sweep(self, before: Instant, *, limit: int) -> int:
        """Forget those, of every namespace, whose window ended before this, `limit` at most; how many.

        MUST keep, in the same transaction, when the last window of those that it forgot ended, by namespace
        and kind; that never becomes earlier.
        """


class TokenKeyGoneError(SignerUnavailableError):
    """The store has no key of this name that can sign: it was destroyed, or never was in it."""

    code = "token-key-gone"
    remedy = "have a new key made and taken into use; tokens of the one that is gone can still be verified"


class TokenKeyWeakError(SignerUnavailableError):
    """A key of the store could leave it or do more than sign, or is another than its name says."""

    code = "token-key-weak"
    remedy = (
        "take the key out of use and destroy it, and see who can change keys there; then have a new one made"
    )


class TokenKey(Protocol):
    """A key for ES256 (RFC 7518 §3.4) that stays where it is."""

    @property
    def kid(self) -> str:
        """Its name: the thumbprint of its public half (RFC 7638)."""

    @property
    def public(self) -> bytes:
        """Its public half: a JWK (RFC 7517) as canonical JSON, with `kid`, `alg` and `use`."""

    def sign(self, message: bytes) -> bytes:
        """The signature: `r` and `s`, 32 bytes each, and of the two `s` that are right the lower one.

        MUST be of exactly this message by exactly this key, and MUST NOT wait longer than some seconds.

        Raises:
            TokenKeyGoneError: The store has the key no longer.
            SignerUnavailableError: The store can't be reached, doesn't answer, or lets nobody in.
        """


class TokenKeyStore(Protocol):
    """Where such keys are."""

    def make(self) -> TokenKey:
        """A new key.

        MUST be durable on return. MUST be one whose private half can't be taken out, where the store knows
        such keys.

        Raises:
            SignerUnavailableError: It can't be made.
        """

    def open(self, kid: str) -> TokenKey:
        """The key of this name.

        MUST be found also after a new start of everything. MUST NOT give another one, whoever put it there.

        Raises:
            TokenKeyGoneError: There is none.
            TokenKeyWeakError: It could leave the store, or is another than its name says.
            SignerUnavailableError: The store can't say.
        """

    def kids(self) -> tuple[str, ...]:
        """The names of all keys that are there, in order.

        Raises:
            SignerUnavailableError: The store can't say.
        """

    def destroy(self, kid: str) -> None:
        """Destroy the key of this name for good; nothing, where there is none.

        MUST be durable on return: no later start may find it.

        Raises:
            SignerUnavailableError: It may still be there.
        """


class SharedClaimReads(Protocol):
    """Reads them."""

    def claim(self, namespace: str, service: str, txn: str) -> SharedClaim | None:
        """The claim of a service for a transaction."""

    def due(self, before: Instant) -> tuple[tuple[str, str], ...]:
        """Namespace and name of each service that has claims which were remembered until before this."""


class SharedClaimWrites(SharedClaimReads, Protocol):
    """Writes them; each service's for themselves, once its tally is locked."""

    def lock_tally(self, namespace: str, service: str) -> Tally:
        """What is kept of a service, also of one of which nothing is.

        MUST be locked until the end of the transaction against everybody who locks it, also where it was not
        there before: of those who come at once, of whatever daemon, each sees what the one before wrote.
        """

    def lock_claim(self, namespace: str, service: str, txn: str) -> SharedClaim | None:
        """As `claim`, as it stands now that the tally is locked."""

    def insert(self, claim: SharedClaim) -> None:
        """Write a new claim. MUST raise `ConflictError` where the service has one for the transaction."""

    def put(self, claim: SharedClaim) -> None:
        """Write state and answer of one that is there. MUST raise `ConflictError` where it is not."""

    def put_tally(self, tally: Tally) -> None:
        """Write what is kept of a service, whose tally is locked."""

    def drop(
        self, namespace: str, service: str, before: Instant, *, limit: int
    ) -> tuple[tuple[Instant, int], ...]:
        """Forget claims of it that were remembered until before this, the oldest first, `limit` at most.

        Returns until when each was remembered, and how much room it took.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeKey:
    """A key that was made, and signs nothing yet."""

    kid: str
    public: bytes
    """A JWK as canonical JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedList:
    """A status list token, and until when it is believed."""

    text: str
    until: Instant


class TokenSigner(Protocol):
    """Signs what rows say.

    MUST read the row and everything that it rests on anew from the store, MUST make the claims from what it
    read, and MUST sign nothing that doesn't hold at that instant.
    """

    def sign_token(self, namespace: str, token: str) -> str:
        """The token of this row, as the compact text.

        Raises:
            DeniedError: The row doesn't hold, or is not what was issued.
            UnavailableError: It can't be read or signed now; nothing was signed.
        """

    def sign_status_list(self, number: int) -> SignedList:
        """The status list of this number, with what every row in it says now.

        Raises:
            DeniedError: There is no such list now.
            UnavailableError: It can't be read or signed now.
        """

    def make_key(self) -> MadeKey:
        """A new key, durable before this returns.

        Raises:
            UnavailableError: It can't be made.
        """

    def look(self, issuer: str) -> None:
        """Return where tokens of this issuer could be signed: it is the signer's, and the store can be read.

        Raises:
            UnavailableError: None could be, and why.
        """

    def destroy_keys(self) -> tuple[str, ...]:
        """Destroy the private halves that nothing is signed with any more, as the store says; their names.

        Raises:
            UnavailableError: One can't be.
        """


class TokenReads(Protocol):
    """Reads tokens of one namespace at a time, and keys and status lists, which all namespaces share."""

    def token(self, namespace: str, token: str) -> Token | None:
        """The token of this id."""

    def tokens(
        self, namespace: str, *, task: str = "", agent: str = "", limit: int = 50, before: str = ""
    ) -> tuple[Token, ...]:
        """Tokens, newest first; empty filters take all; `before` is the last id of the page before."""

    def listed(self, number: int, now: Instant) -> tuple[Token, ...]:
        """Of every namespace: the tokens of this status list that have not ended, by their places."""

    def is_told(self, namespace: str, task: str, action: str) -> bool:
        """Whether somebody may have a transaction token of this action of this task.

        MUST count one that is over or revoked, unless it was revoked as unsigned.
        """

    def key(self, kid: str) -> IssuingKey | None:
        """The key of this name."""

    def all_keys(self) -> tuple[IssuingKey, ...]:
        """Every key, whatever it is for, in the order in which they were made."""


class TokenWrites(TokenReads, Protocol):
    """Writes them."""

    def insert(self, token: Token) -> None:
        """Write a new one, not revoked.

        MUST raise `ConflictError` when its id is known in the namespace, or its place in its list is
        another's.
        """

    def sweep(self, before: Instant, *, limit: int) -> int:
        """Forget tokens that ended before this, those that ended first; how many, `limit` at most.

        MUST keep those of an action whose outcome is still to come (`is_told`).
        """

    def revoke(
        self, namespace: str, tokens: Collection[str], at: Instant, why: str, *, unsigned: bool = False
    ) -> tuple[str, ...]:
        """Revoke those of these that are not yet; their ids, in order. `unsigned`: nobody has their texts.

        MUST be one conditional statement for each: the first revocation stands, with its words.
        """

    def lock_tokens(self, namespace: str, tokens: Collection[str]) -> Mapping[str, Token]:
        """By id: those of these that exist, whatever they are worth, locked against change."""

    def lock_keys(self, *, moves: bool = False) -> tuple[IssuingKey, ...]:
        """As `all_keys`, locked until the end of the transaction; `moves` for who changes one."""

    def put_key(self, key: IssuingKey, *, expect: TokenKeyState | None) -> None:
        """Write the key.

        MUST raise `ConflictError` when its state is not `expect`, None for one that must not be there, and
        when another one is current, or next, as it is to be.
        """

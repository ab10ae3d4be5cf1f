"""People's accounts, sign-ins and sessions in the store, and whoever asks an issuer who somebody is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from taskbound.core.clock import Instant
    from taskbound.core.identity.account import Account
    from taskbound.core.identity.oidc import IdentityIssuer
    from taskbound.core.identity.sign_in import SaidOfPerson, Session, SignIn


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What an issuer is asked with when a browser is sent there."""

    redirect: str
    """Where it sends the browser back to."""
    state: str
    nonce: str
    challenge: str
    """Of PKCE, by S256."""
    max_age: int = -1
    """Seconds; -1 to say nothing of it."""
    acr: str = ""

    def __repr__(self) -> str:
        """Without what proves anything."""
        return f"Wanted({self.redirect!r})"


class RelyingParty(Protocol):
    """Asks issuers who somebody is (OpenID Connect Core §3.1).

    The port is there for security: no flow holds a secret of ours, or computes a signature.
    """

    def address(self, issuer: IdentityIssuer, wanted: Wanted, now: Instant) -> tuple[str, bool]:
        """Where the browser goes, and whether the issuer promises to say `iss` when it sends it back.

        MUST be at the issuer's own origin. It may wait for the issuer's metadata.

        Raises:
            UnavailableError: The issuer is not reached.
            MalformedError: What it says of itself can't be believed.
        """

    def trouble(self, issuer: IdentityIssuer, now: Instant) -> str:
        """Why nobody could sign in there now, in words without a secret; empty where they could.

        It may wait for the issuer's metadata, and tells what was seen lately.
        """

    def redeem(
        self, issuer: IdentityIssuer, code: str, verifier: str, redirect: str, now: Instant
    ) -> SaidOfPerson:
        """What the issuer says of whoever came back with this code.

        MUST be by the issuer's keys, for our client there, of now; MUST follow nothing, and send our secret
        to the origin of the issuer, or the one that was named for its tokens, and nowhere else. No text of an
        error has anything of code, token or secret.

        Raises:
            DeniedError: It is not believed, or the code is none.
            MalformedError: It can't be read.
            UnavailableError: The issuer, or our secret, is not to be had.
        """


class AccountReads(Protocol):
    """Reads, of one namespace at a time but for `spaces`.

    In a transaction no other one changes what was read until its end.
    """

    def accounts(self, namespace: str) -> tuple[Account, ...]:
        """Every account, by issuer and subject."""

    def account(self, namespace: str, issuer: str, subject: str) -> Account | None:
        """The account, if it is anybody's."""

    def session(self, namespace: str, secret: str) -> Session | None:
        """The session of the browser whose secret has this digest."""

    def session_until(self, namespace: str, session: str, person: str) -> Instant:
        """When this session of this person ends; 0 where there is none."""

    def sessions(self, namespace: str) -> tuple[Session, ...]:
        """Every session, the oldest first."""

    def spaces(self) -> tuple[str, ...]:
        """Every namespace in which an account is somebody's, in order."""


class AccountWrites(AccountReads, Protocol):
    """Writes."""

    def put_account(self, account: Account) -> None:
        """Write a new one. MUST raise `ConflictError` when it is somebody's."""

    def drop_account(self, namespace: str, issuer: str, subject: str) -> None:
        """Forget the account; nothing happens when there is none."""

    def put_sign_in(self, sign_in: SignIn) -> None:
        """Write a new one. MUST raise `ConflictError` when its state is known."""

    def take_sign_in(self, namespace: str, state: str) -> SignIn | None:
        """The sign-in of this state, which waits no more: of all that take it at once one gets it."""

    def sign_ins_of(self, namespace: str, address: str) -> tuple[SignIn, ...]:
        """Those of this address, the oldest first."""

    def count_sign_ins(self, namespace: str) -> int:
        """How many wait."""

    def drop_sign_ins(self, namespace: str, issuer: str) -> None:
        """Forget those that wait for the issuer of this short name."""

    def put_session(self, session: Session) -> None:
        """Write a new one. MUST raise `ConflictError` when its id or its secret is known."""

    def drop_session(self, namespace: str, session: str) -> None:
        """Forget the session of this id; nothing happens when there is none."""

    def sweep_sign_ins(self, before: Instant, *, limit: int) -> int:
        """Forget sign-ins, of every namespace, that began before this; how many."""

    def sweep_sessions(self, before: Instant, *, limit: int) -> int:
        """Forget sessions, of every namespace, whose time was over before this; how many."""

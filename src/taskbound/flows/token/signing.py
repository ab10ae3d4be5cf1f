"""What the signer does when it is asked for a token: it believes the store alone, and not all of that.

1. What it is sent is the name of a row. The claims are made from the row and from what it speaks of, both
   read anew in one state of the store.
2. The row is the one that was issued: the record of its issue has the digest of these claims. A row that was
   altered afterwards, or was written without a record, is not signed.
3. What doesn't hold at this instant is not signed (`standing`): the task has ended, the agent is suspended,
   everything is stopped, the token or its key is revoked.
4. It signs for its own issuer, with a key of its own whose public half is the one that the store has, and
   that signs now or did until a moment ago.
5. A status list says of each row what it is worth now, by the same rules; of what can't be read it says the
   worst.
6. It keeps sixteen keys at most, and destroys none that the store says is in use.
"""

from __future__ import annotations

import json
from threading import Lock
from typing import TYPE_CHECKING, Final

from taskbound.core.audit import TamperedError, parse_record
from taskbound.core.audit.events import TokenIssued
from taskbound.core.clock import Instant, seconds
from taskbound.core.errors import DeniedError
from taskbound.core.identity import InactiveAgentError
from taskbound.core.revocation import StoppedError
from taskbound.core.task import TaskPausedError
from taskbound.core.token import (
    TokenAlteredError,
    TokenForm,
    TokenKeyState,
    UnknownTokenError,
    claims_digest,
    claims_of,
    is_published,
    require_not_revoked,
    status_uri,
)
from taskbound.core.token.status import BITS, LIFE, TTL, Status, is_listed, pack_statuses
from taskbound.flows.token.standing import ground_of, require_token_stands
from taskbound.ports.signer import SignerUnavailableError
from taskbound.ports.token import MadeKey, SignedList
from taskbound.wire.jose import (
    PERSON_TOKEN,
    SERVICE_TOKEN,
    STATUS_LIST,
    TASK_TOKEN,
    TRANSACTION_TOKEN,
    parse_jwk,
    write_jws,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action import JsonValue
    from taskbound.core.token import IssuingKey, Token
    from taskbound.ports.clock import Clock
    from taskbound.ports.store import Readable, Snapshot
    from taskbound.ports.token import TokenKey, TokenKeyStore
    from taskbound.wire.jose import Jwk, TokenKind


KINDS_OF_FORM: Final[Mapping[TokenForm, TokenKind]] = {
    TokenForm.TASK: TASK_TOKEN,
    TokenForm.PERSON: PERSON_TOKEN,
    TokenForm.SERVICE: SERVICE_TOKEN,
    TokenForm.TRANSACTION: TRANSACTION_TOKEN,
}
_MOST_KEYS: Final = 16
_SIGNS: Final = frozenset({TokenKeyState.CURRENT, TokenKeyState.RETIRED})
_SUSPENDS: Final = (InactiveAgentError, StoppedError, TaskPausedError)
"""What may come back."""


class UnknownStatusListError(DeniedError):
    """No token that still counts is in a status list of this number."""

    code = "unknown-status-list"
    remedy = "the number stands in the token, in `status`"


class RowSigner:
    """The `TokenSigner` that has keys; safe from any thread."""

    def __init__(self, *, store: Readable, keys: TokenKeyStore, clock: Clock, issuer: str) -> None:
        """Sign for this issuer.

        Args:
            store: Is read, and never written.
            keys: What signs.
            clock: Its own.
            issuer: The name that every token has in `iss` (rule 4).
        """
        self._store = store
        self._keys = keys
        self._clock = clock
        self._issuer = issuer
        self._lock = Lock()

    def sign_token(self, namespace: str, token: str) -> str:
        """The token of this row (rules 1 to 4).

        Raises:
            DeniedError: It doesn't hold, or is not what was issued.
            SignerUnavailableError: Its key can't be used.
        """
        with self._store.read() as snapshot:
            row = snapshot.tokens.token(namespace, token)
            if row is None:
                raise UnknownTokenError(f"no token is named `{token}`")
            now = max(self._clock.now(), row.issued)  # a late clock makes nothing younger
            require_token_stands(snapshot, row, now)  # 3
            claims = claims_of(row, ground_of(snapshot, row))  # 1
            self._require_issued(snapshot, row, claims_digest(claims))  # 2
            kept = snapshot.tokens.key(row.key)
        key = self._key(kept)
        text = write_jws(claims, kind=KINDS_OF_FORM[row.form], key=_public(key), sign=key.sign)
        with self._store.read() as snapshot:  # what ended while a slow key signed leaves no token
            again = snapshot.tokens.token(namespace, token)
            require_token_stands(snapshot, again or row, self._clock.now())
        return text

    def sign_status_list(self, number: int) -> SignedList:
        """The status list of this number (rule 5).

        Raises:
            UnknownStatusListError: None of now has this number.
            SignerUnavailableError: No key can be used.
        """
        now = self._clock.now()
        if not is_listed(number, now):
            raise UnknownStatusListError(f"there is no status list `{number}` now")
        with self._store.read() as snapshot:
            statuses = {one.index: _status(snapshot, one, now) for one in snapshot.tokens.listed(number, now)}
            current = next(
                (one for one in snapshot.tokens.all_keys() if one.state is TokenKeyState.CURRENT), None
            )
        key = self._key(current)
        issued = now // seconds(1)
        claims: dict[str, JsonValue] = {
            "iss": self._issuer,
            "sub": status_uri(self._issuer, number),
            "iat": issued,
            "exp": issued + LIFE,
            "ttl": TTL,
            "status_list": {"bits": BITS, "lst": pack_statuses(statuses)},
        }
        text = write_jws(claims, kind=STATUS_LIST, key=_public(key), sign=key.sign)
        return SignedList(text=text, until=Instant(seconds(issued + TTL)))

    def make_key(self) -> MadeKey:
        """A new key (rule 6).

        Raises:
            SignerUnavailableError: There are too many, or it can't be made.
        """
        with self._store.read() as snapshot:
            known = {one.kid for one in snapshot.tokens.all_keys()}
        with self._lock:
            if len(self._keys.kids()) >= _MOST_KEYS:
                for one in set(self._keys.kids()) - known:
                    self._keys.destroy(one)  # made by a daemon that ended before it could write that down
            if len(self._keys.kids()) >= _MOST_KEYS:
                raise SignerUnavailableError(f"the signer keeps {_MOST_KEYS} keys for tokens and no more")
            key = self._keys.make()
        return MadeKey(kid=key.kid, public=key.public)

    def look(self, issuer: str) -> None:
        """Return where tokens of this issuer could be signed (rule 4).

        Raises:
            SignerUnavailableError: It signs for another issuer.
            UnavailableError: The store can't be read.
        """
        if issuer != self._issuer:
            raise SignerUnavailableError(
                f"the signer signs as `{self._issuer}`, and the daemon issues as `{issuer}`",
                remedy="start both with the same `--issuer`",
            )
        with self._store.read():
            pass

    def destroy_keys(self) -> tuple[str, ...]:
        """Destroy what nothing is signed with any more (rule 6); the names.

        Raises:
            SignerUnavailableError: One can't be destroyed.
        """
        now = self._clock.now()
        with self._store.read() as snapshot:
            known = {one.kid: one for one in snapshot.tokens.all_keys()}
        with self._lock:
            gone = [one for one in self._keys.kids() if one in known and not is_published(known[one], now)]
            for one in gone:
                self._keys.destroy(one)
        return tuple(gone)

    def _require_issued(self, snapshot: Snapshot, row: Token, digest: str) -> None:
        """Go on only with the row that was issued (rule 2), by this issuer (rule 4).

        Raises:
            TokenAlteredError: It is another.
        """
        if row.issuer != self._issuer:
            raise TokenAlteredError("the token is of another issuer than the one that is signed for")
        kept = snapshot.audit.numbered(row.record)
        try:
            record = parse_record(kept.body) if kept is not None else None
        except TamperedError as error:
            raise TokenAlteredError("the record of the token's issue can't be read") from error
        event = record.event if record is not None and record.namespace == row.namespace else None
        if not isinstance(event, TokenIssued) or event.token != row.id:
            raise TokenAlteredError("no record says that the token was issued")
        if not event.digest == row.digest == digest or event.key != row.key:
            raise TokenAlteredError("the token is not what the record of its issue says")

    def _key(self, kept: IssuingKey | None) -> TokenKey:
        """The key that signs (rule 4).

        Raises:
            TokenKeyRevokedError: It was revoked, or nobody knows it.
            TokenAlteredError: The store has another one under its name, or it signs nothing yet.
            SignerUnavailableError: It can't be used.
        """
        known = require_not_revoked(kept)
        key = self._keys.open(known.kid)
        if key.public != known.public or known.state not in _SIGNS:
            raise TokenAlteredError(f"the key `{known.kid}` is not the one that signs tokens here")
        return key


def _public(key: TokenKey) -> Jwk:
    return parse_jwk(json.loads(key.public))


def _status(snapshot: Snapshot, token: Token, now: Instant) -> Status:
    """What a list says of a token (rule 5)."""
    try:
        require_token_stands(snapshot, token, now)
    except _SUSPENDS:
        return Status.SUSPENDED
    except DeniedError:
        return Status.INVALID
    return Status.VALID

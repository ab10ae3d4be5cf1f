"""Token signing keys, the signer's checks, and the published documents.

- The signer makes a key and keeps it durably before the store knows it. Of two concurrent rotations one
  succeeds. The daemon takes the next key into use when due; revoking the current one promotes the next.
- The signer receives only a row's name and computes the claims from the row and what that refers to, in one
  snapshot. The record of issue must have their digest, so an altered or inserted row is not signed. It signs
  for its own issuer only, with a key whose public half equals the store's and that signs now or did until a
  moment ago.
- The key document has the next and current keys, and retired ones until their last token ends; never a
  revoked one (RFC 7517 §5). A status list is cached for ten seconds, as it says.
"""

from __future__ import annotations

import json
import logging
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Final

from taskbound.core.action import canonical
from taskbound.core.audit import TamperedError, parse_record
from taskbound.core.audit.events import TokenIssued, TokenKeyRevoked, TokenKeyRotated
from taskbound.core.clock import Instant, seconds
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, TaskboundError
from taskbound.core.identity import InactiveAgentError
from taskbound.core.revocation import StoppedError
from taskbound.core.task import TaskPausedError
from taskbound.core.token import (
    DEFAULT_NAMESPACE,
    IssuingKey,
    TokenAlteredError,
    TokenForm,
    TokenKeyEvent,
    TokenKeyState,
    UnknownTokenError,
    UnknownTokenKeyError,
    claims_digest,
    claims_of,
    is_published,
    move_key,
    require_not_revoked,
    rotation_due,
    status_uri,
)
from taskbound.core.token.key import BITS, LIFE, TTL, Status, is_listed, pack_statuses
from taskbound.flows.decision.usable import ContendedError
from taskbound.flows.means import Actor
from taskbound.flows.token.standing import ground_of, require_token_stands
from taskbound.ports.signer import SignerUnavailableError
from taskbound.ports.store import ConflictError
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
    from taskbound.core.token import Token
    from taskbound.flows.means import Adapters
    from taskbound.ports.clock import Clock
    from taskbound.ports.store import Readable, Snapshot, Transaction
    from taskbound.ports.token import TokenKey, TokenKeyStore, TokenSigner
    from taskbound.wire.jose import Jwk, TokenKind


_log = logging.getLogger(__name__)
_TRIES: Final = 4


@dataclass(slots=True)
class _Making:
    """Keys made by the signer and not yet taken."""

    signer: TokenSigner
    made: list[MadeKey]
    wanted: int = 0

    def take(self, now: Instant) -> IssuingKey:
        """Returns one as the next key; raises ConflictError if one must be made first."""
        if not self.made:
            self.wanted += 1
            raise ConflictError("a key has to be made first")
        one = self.made.pop(0)
        return IssuingKey(kid=one.kid, public=one.public, state=TokenKeyState.NEXT, made=now)


class TokenKeys:
    """Rotates and revokes keys; thread-safe, waits for the signer."""

    def __init__(self, adapters: Adapters, signer: TokenSigner) -> None:
        self._adapters = adapters
        self._signer = signer

    def all_keys(self) -> tuple[IssuingKey, ...]:
        """Returns every key, oldest first."""
        with self._adapters.store.read() as snapshot:
            return snapshot.tokens.all_keys()

    def tend(self) -> tuple[str, ...]:
        if rotation_due(self.all_keys(), self._adapters.clock.now()):
            self.rotate(Actor(name="daemon", proof="own process"), forced=False)
        return self._signer.destroy_keys()

    def rotate(self, actor: Actor, *, forced: bool) -> tuple[IssuingKey, ...]:
        """Takes the next key into use, at once if `forced`; returns all keys. Raises UnavailableError."""
        return self._moved(partial(self._rotate, actor, forced=forced))

    def revoke(self, kid: str, actor: Actor, *, why: str) -> tuple[IssuingKey, ...]:
        """Revokes a key and all its tokens; returns all keys."""
        self._moved(partial(self._revoke, kid, actor, why))
        try:
            return self.rotate(actor, forced=False)
        except TaskboundError as error:
            _log.warning("no key was made to follow a revoked one yet: %s [%s]", error.message, error.code)
        return self.all_keys()

    def _moved(self, work: partial[None]) -> tuple[IssuingKey, ...]:
        making = _Making(self._signer, [])
        for _ in range(_TRIES):
            made = tuple(making.made)
            try:
                self._adapters.store.write(partial(work, making))
            except ConflictError:
                making.made[:] = made
                if making.wanted:
                    making.made.append(self._signer.make_key())
                    making.wanted = 0
                continue
            return self.all_keys()
        raise ContendedError("another daemon kept changing the keys")

    def _rotate(self, actor: Actor, making: _Making, tx: Transaction, *, forced: bool) -> None:
        keys = tx.tokens.lock_keys(moves=True)
        now = self._adapters.clock.now()
        if not forced and not rotation_due(keys, now):
            return  # another daemon did it
        self._advance(tx, keys, actor, making, now, forced=forced)

    def _revoke(self, kid: str, actor: Actor, why: str, _making: _Making, tx: Transaction) -> None:
        keys = tx.tokens.lock_keys(moves=True)
        now = self._adapters.clock.now()
        key = next((one for one in keys if one.kid == kid), None)
        if key is None:
            raise UnknownTokenKeyError(f"no key is named `{kid}`")
        revoked = move_key(key, TokenKeyEvent.REVOKE, now, why)
        tx.tokens.put_key(revoked, expect=key.state)
        event = TokenKeyRevoked(key=kid, before=key.state.value, why=why, by=actor.name, proof=actor.proof)
        tx.audit.append(DEFAULT_NAMESPACE, self._adapters.writer, [event], now)
        following = next((one for one in keys if one.state is TokenKeyState.NEXT), None)
        if key.state is TokenKeyState.CURRENT and following is not None:
            current = move_key(following, TokenKeyEvent.USE, now)
            tx.tokens.put_key(current, expect=following.state)
            taken = TokenKeyRotated(
                current=current.kid, retired="", following="", forced=False, by=actor.name, proof=actor.proof
            )
            tx.audit.append(DEFAULT_NAMESPACE, self._adapters.writer, [taken], now)

    def _advance(
        self,
        tx: Transaction,
        keys: tuple[IssuingKey, ...],
        actor: Actor,
        making: _Making,
        now: Instant,
        *,
        forced: bool,
    ) -> None:
        held = {one.state: one for one in keys}
        current, following = held.get(TokenKeyState.CURRENT), held.get(TokenKeyState.NEXT)
        if following is None:
            following = making.take(now)
            tx.tokens.put_key(following, expect=None)
        retired = ""
        if current is None or forced or rotation_due((current, following), now):
            if current is not None:
                tx.tokens.put_key(move_key(current, TokenKeyEvent.RETIRE, now), expect=current.state)
                retired = current.kid
            current = move_key(following, TokenKeyEvent.USE, now)
            tx.tokens.put_key(current, expect=following.state)
            following = making.take(now)
            tx.tokens.put_key(following, expect=None)
        event = TokenKeyRotated(
            current=current.kid,
            retired=retired,
            following=following.kid,
            forced=forced,
            by=actor.name,
            proof=actor.proof,
        )
        tx.audit.append(DEFAULT_NAMESPACE, self._adapters.writer, [event], now)


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
    """No valid token is in a status list of this number."""

    code = "unknown-status-list"
    remedy = "the number stands in the token, in `status`"


class RowSigner:
    """The `TokenSigner` that holds keys; thread-safe."""

    def __init__(self, *, store: Readable, keys: TokenKeyStore, clock: Clock, issuer: str) -> None:
        """Signs for `issuer`, the `iss` of every token; `store` is only read."""
        self._store = store
        self._keys = keys
        self._clock = clock
        self._issuer = issuer
        self._lock = Lock()

    def sign_token(self, namespace: str, token: str) -> str:
        with self._store.read() as snapshot:
            row = snapshot.tokens.token(namespace, token)
            if row is None:
                raise UnknownTokenError(f"no token is named `{token}`")
            now = max(self._clock.now(), row.issued)  # a late clock makes nothing younger
            require_token_stands(snapshot, row, now)
            claims = claims_of(row, ground_of(snapshot, row))
            self._require_issued(snapshot, row, claims_digest(claims))
            kept = snapshot.tokens.key(row.key)
        key = self._key(kept)
        text = write_jws(claims, kind=KINDS_OF_FORM[row.form], key=_public(key), sign=key.sign)
        with self._store.read() as snapshot:  # what ended while a slow key signed leaves no token
            again = snapshot.tokens.token(namespace, token)
            require_token_stands(snapshot, again or row, self._clock.now())
        return text

    def sign_status_list(self, number: int) -> SignedList:
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
        if issuer != self._issuer:
            raise SignerUnavailableError(
                f"the signer signs as `{self._issuer}`, and the daemon issues as `{issuer}`",
                remedy="start both with the same `--issuer`",
            )
        with self._store.read():
            pass

    def destroy_keys(self) -> tuple[str, ...]:
        now = self._clock.now()
        with self._store.read() as snapshot:
            known = {one.kid: one for one in snapshot.tokens.all_keys()}
        with self._lock:
            gone = [one for one in self._keys.kids() if one in known and not is_published(known[one], now)]
            for one in gone:
                self._keys.destroy(one)
        return tuple(gone)

    def _require_issued(self, snapshot: Snapshot, row: Token, digest: str) -> None:
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
        known = require_not_revoked(kept)
        key = self._keys.open(known.kid)
        if key.public != known.public or known.state not in _SIGNS:
            raise TokenAlteredError(f"the key `{known.kid}` is not the one that signs tokens here")
        return key


def _public(key: TokenKey) -> Jwk:
    return parse_jwk(json.loads(key.public))


def _status(snapshot: Snapshot, token: Token, now: Instant) -> Status:
    try:
        require_token_stands(snapshot, token, now)
    except _SUSPENDS:
        return Status.SUSPENDED
    except DeniedError:
        return Status.INVALID
    return Status.VALID


_KEPT: Final = 8


class Published:
    """The published documents; thread-safe."""

    def __init__(self, adapters: Adapters, signer: TokenSigner) -> None:
        self._adapters = adapters
        self._signer = signer
        self._lists: dict[int, SignedList] = {}
        self._lock = Lock()

    def keys(self) -> bytes:
        now = self._adapters.clock.now()
        with self._adapters.store.read() as snapshot:
            shown = [one for one in snapshot.tokens.all_keys() if is_published(one, now)]
        keys: list[JsonValue] = [json.loads(one.public) for one in shown]
        return canonical({"keys": keys})

    def status_list(self, number: int) -> str:
        now = self._adapters.clock.now()
        if not is_listed(number, now):
            raise UnknownStatusListError(f"there is no status list `{number}` now")
        with self._lock:
            kept = self._lists.get(number)
            if kept is not None and now < kept.until:
                return kept.text
        fresh = self._signer.sign_status_list(number)
        with self._lock:
            held = [*self._lists.items(), (number, fresh)][-_KEPT:]
            self._lists = {one: each for one, each in held if each.until > now}
        return fresh.text

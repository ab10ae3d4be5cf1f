"""Tokens, keys and claims in SQL.

1. A use of a claim reads the end of forgotten windows after its insert, so it sees each claim's deletion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from taskbound.adapters.store.sql.record import BYTES, enum, reader
from taskbound.adapters.store.sql.rows import ALONE, CHANGING, SHARED, TableGroup, json_texts, read_texts
from taskbound.core.clock import Instant
from taskbound.core.identity.proof import Binding, BindingKind
from taskbound.core.token import IssuingKey, Token, TokenForm, TokenKeyState, Use
from taskbound.core.token.shared import LONGEST_ANSWER, ServedState, SharedClaim, Tally

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from taskbound.core.token import Claim


COLUMNS: Final = (
    "namespace, id, form, issuer, subject, actors, audience, bound_by, thumbprint, issued, expires, kid,"
    " task, agent, parent, action, content, acr, authenticated, list, place, digest, record, revoked, why,"
    " may_act, unsigned, proven_by"
)
_ONE: Final = f"SELECT {COLUMNS} FROM tokens WHERE namespace = ? AND id = ?"  # noqa: S608 - our own words
_THESE: Final = (
    f"SELECT {COLUMNS} FROM tokens WHERE namespace = ?1"  # noqa: S608 - our own words
    " AND id IN (SELECT value FROM json_each(?2))"
)
_SOME: Final = (
    f"SELECT {COLUMNS} FROM tokens WHERE namespace = ?1 AND (?2 = '' OR task = ?2)"  # noqa: S608 - our own words
    " AND (?3 = '' OR agent = ?3) AND (?4 = '' OR id < ?4) ORDER BY id DESC LIMIT ?5"
)
_LISTED: Final = f"SELECT {COLUMNS} FROM tokens WHERE list = ? AND list > 0 AND expires > ? ORDER BY place"  # noqa: S608 - our own words
_INSERT: Final = f"INSERT INTO tokens ({COLUMNS}) VALUES ({', '.join('?' * 28)})"  # noqa: S608 - our own words
_REVOKE: Final = (
    "UPDATE tokens SET revoked = ?, why = ?, unsigned = ? WHERE namespace = ? AND id = ? AND revoked = 0"
)
_SWEEP: Final = (
    "DELETE FROM tokens WHERE (namespace, id) IN"
    " (SELECT t.namespace, t.id FROM tokens t WHERE t.expires < ? AND (t.action = '' OR NOT EXISTS"
    " (SELECT 1 FROM actions a WHERE a.namespace = t.namespace AND a.id = t.action"
    " AND a.state IN ('permitted', 'sent'))) ORDER BY t.expires LIMIT ?)"
)
_TOLD: Final = "SELECT count(*) FROM tokens WHERE namespace = ? AND task = ? AND action = ? AND unsigned = 0"
KEYS: Final = "SELECT kid, public, state, made, used, retired, revoked, why FROM token_keys"
_KEY: Final = f"{KEYS} WHERE kid = ?"
_ALL_KEYS: Final = f"{KEYS} ORDER BY made, kid"
_NEW_KEY: Final = (
    "INSERT INTO token_keys (kid, public, state, made, used, retired, revoked, why)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_MOVE_KEY: Final = (
    "UPDATE token_keys SET state = ?, used = ?, retired = ?, revoked = ?, why = ? WHERE kid = ? AND state = ?"
)


read_key: Final = reader(
    "kid public state made used retired revoked why", IssuingKey, public=BYTES, state=enum(TokenKeyState)
)
_read_claim: Final = reader(
    "namespace service txn request claimant until still state answer",
    SharedClaim,
    state=enum(ServedState),
    answer=BYTES,
)
_read_tally: Final = reader("namespace service turn claims room forgotten", Tally)


class SqlTokens(TableGroup):
    """Tokens and signing keys."""

    __slots__ = ()

    def token(self, namespace: str, token: str) -> Token | None:
        return self._link.one(read_token, _ONE, (namespace, token))

    def tokens(
        self, namespace: str, *, task: str = "", agent: str = "", limit: int = 50, before: str = ""
    ) -> tuple[Token, ...]:
        """Returns tokens, newest first."""
        return self._link.all(read_token, _SOME, (namespace, task, agent, before, limit))

    def listed(self, number: int, now: Instant) -> tuple[Token, ...]:
        return self._link.all(read_token, _LISTED, (number, now))

    def is_told(self, namespace: str, task: str, action: str) -> bool:
        """Returns whether a holder may have a transaction token of this action."""
        return self._link.whole(_TOLD, (namespace, task, action)) > 0

    def key(self, kid: str) -> IssuingKey | None:
        return self._link.one(read_key, _KEY, (kid,))

    def all_keys(self) -> tuple[IssuingKey, ...]:
        """Returns every key, oldest first."""
        return self._link.all(read_key, _ALL_KEYS)

    def insert(self, token: Token) -> None:
        binding = token.binding
        self._link.change(
            _INSERT,
            (
                token.namespace,
                token.id,
                token.form.value,
                token.issuer,
                token.subject,
                json_texts(token.actors),
                token.audience,
                binding.kind.value if binding is not None else "",
                binding.thumbprint if binding is not None else "",
                token.issued,
                token.expires,
                token.key,
                token.task,
                token.agent,
                token.parent,
                token.action,
                token.content,
                token.acr,
                token.authenticated,
                token.list,
                token.index,
                token.digest,
                token.record,
                token.revoked,
                token.why,
                token.may_act,
                int(token.unsigned),
                token.proven_by,
            ),
        )

    def revoke(
        self, namespace: str, tokens: Collection[str], at: Instant, why: str, *, unsigned: bool = False
    ) -> tuple[str, ...]:
        said = (at, why, int(unsigned), namespace)
        return tuple(one for one in sorted(set(tokens)) if self._link.change(_REVOKE, (*said, one)) == 1)

    def lock_tokens(self, namespace: str, tokens: Collection[str]) -> Mapping[str, Token]:
        if len(tokens) == 1:
            (name,) = tokens
            one = self.token(namespace, name)
            return {} if one is None else {name: one}
        found = self._link.all(read_token, _THESE, (namespace, json_texts(sorted(tokens))))
        return {one.id: one for one in found}

    def sweep(self, before: Instant, *, limit: int) -> int:
        """Deletes up to `limit` tokens that ended before this; returns how many."""
        return self._link.change(_SWEEP, (before, limit))

    def lock_keys(self, *, moves: bool = False) -> tuple[IssuingKey, ...]:
        """Returns every key, share-locked, or locked for a change if `moves`."""
        return self._link.locked(read_key, _ALL_KEYS, lock=CHANGING if moves else SHARED)

    def put_key(self, key: IssuingKey, *, expect: TokenKeyState | None) -> None:
        times = (key.used, key.retired, key.revoked, key.why)
        if expect is None:
            self._link.change(_NEW_KEY, (key.kid, key.public, key.state.value, key.made, *times))
        elif self._link.change(_MOVE_KEY, (key.state.value, *times, key.kid, expect.value)) != 1:
            self._link.conflict(f"the key `{key.kid}`")


def read_token(  # noqa: PLR0913, PLR0917 - the columns of a row, in order
    namespace: str,
    name: str,
    form: str,
    issuer: str,
    subject: str,
    actors: str,
    audience: str,
    bound_by: str,
    thumbprint: str,
    issued: int,
    expires: int,
    kid: str,
    task: str,
    agent: str,
    parent: str,
    action: str,
    content: str,
    acr: str,
    authenticated: int,
    number: int,
    place: int,
    digest: str,
    record: int,
    revoked: int,
    why: str,
    may_act: str,
    unsigned: int,
    proven_by: str,
) -> Token:
    return Token(
        namespace=namespace,
        id=name,
        form=TokenForm(form),
        issuer=issuer,
        subject=subject,
        actors=read_texts(actors),
        audience=audience,
        binding=Binding(kind=BindingKind(bound_by), thumbprint=thumbprint) if bound_by else None,
        issued=Instant(issued),
        expires=Instant(expires),
        key=kid,
        task=task,
        agent=agent,
        parent=parent,
        action=action,
        content=content,
        acr=acr,
        authenticated=Instant(authenticated),
        list=number,
        index=place,
        digest=digest,
        record=record,
        revoked=Instant(revoked),
        why=why,
        may_act=may_act,
        unsigned=bool(unsigned),
        proven_by=proven_by,
    )


_USE: Final = (
    "INSERT INTO claims (namespace, kind, digest, until) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (namespace, kind, digest) DO NOTHING"
)
_FORGOTTEN: Final = "SELECT until FROM claims_forgotten WHERE namespace = ? AND kind = ?"
_CLAIM_SWEEP: Final = (
    "DELETE FROM claims WHERE (namespace, kind, digest) IN"
    " (SELECT namespace, kind, digest FROM claims WHERE until < ? ORDER BY until LIMIT ?)"
    " RETURNING namespace, kind, until"
)
_FORGET: Final = (
    "INSERT INTO claims_forgotten (namespace, kind, until) VALUES (?, ?, ?)"
    " ON CONFLICT (namespace, kind) DO UPDATE SET until = excluded.until"
    " WHERE claims_forgotten.until < excluded.until"
)


class SqlClaims(TableGroup):
    """Claims that serve once."""

    __slots__ = ()

    def use(self, claims: Sequence[Claim]) -> tuple[Use, ...]:
        return tuple(self._use(one) for one in claims)

    def sweep(self, before: Instant, *, limit: int) -> int:
        """Deletes up to `limit` claims whose window ended before this; returns how many."""
        over = self._link.locked(read_swept, _CLAIM_SWEEP, (before, limit))
        last: dict[tuple[str, str], Instant] = {}
        for namespace, kind, until in over:
            last[namespace, kind] = max(until, last.get((namespace, kind), until))
        self._link.change_many(_FORGET, [(*of, until) for of, until in sorted(last.items())])  # 1
        return len(over)

    def _use(self, one: Claim) -> Use:
        key = (one.namespace, one.kind.value)
        if self._link.change(_USE, (*key, one.digest, one.until)) != 1:
            return Use.AGAIN
        return Use.LATE if one.until <= self._link.whole(_FORGOTTEN, key) else Use.FIRST  # 1


def read_swept(namespace: str, kind: str, until: int) -> tuple[str, str, Instant]:
    return namespace, kind, Instant(until)


T = TypeVar("T")

_CLAIM: Final = (
    "SELECT namespace, service, txn, request, claimant, until, still, state, answer FROM shared_claims"
    " WHERE namespace = ? AND service = ? AND txn = ?"
)
_DUE: Final = (
    "SELECT DISTINCT namespace, service FROM shared_claims WHERE until < ? ORDER BY namespace, service"
)
_ROW: Final = (
    "INSERT INTO shared_tallies (namespace, service, turn, claims, room, forgotten)"
    " VALUES (?, ?, 0, 0, 0, -1)"
    " ON CONFLICT (namespace, service) DO NOTHING"
)
_TALLY: Final = (
    "SELECT namespace, service, turn, claims, room, forgotten FROM shared_tallies"
    " WHERE namespace = ? AND service = ?"
)
_SHARED_INSERT: Final = (
    "INSERT INTO shared_claims"
    " (namespace, service, txn, request, claimant, until, still, state, answer)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (namespace, service, txn) DO NOTHING"
)
_PUT: Final = "UPDATE shared_claims SET state = ?, answer = ? WHERE namespace = ? AND service = ? AND txn = ?"
_PUT_TALLY: Final = (
    "UPDATE shared_tallies SET turn = ?, claims = ?, room = ?, forgotten = ?"
    " WHERE namespace = ? AND service = ? AND turn < ?"
)
_DROP: Final = (
    "DELETE FROM shared_claims WHERE namespace = ? AND service = ? AND txn IN"
    " (SELECT txn FROM shared_claims WHERE namespace = ? AND service = ? AND until < ?"
    " ORDER BY until, txn LIMIT ?)"
    " RETURNING until, state, length(answer)"
)


class SqlSharedClaims(TableGroup):
    """Claims kept for services."""

    __slots__ = ()

    def claim(self, namespace: str, service: str, txn: str) -> SharedClaim | None:
        return self._link.one(_read_claim, _CLAIM, (namespace, service, txn))

    def due(self, before: Instant) -> tuple[tuple[str, str], ...]:
        return self._link.all(_pair, _DUE, (before,))

    def lock_tally(self, namespace: str, service: str) -> Tally:
        """Returns the service's tally, locked."""
        key = (namespace, service)
        self._link.change(_ROW, key)
        (found,) = self._link.locked(_read_tally, _TALLY, key, ALONE)
        return found

    def lock_claim(self, namespace: str, service: str, txn: str) -> SharedClaim | None:
        """Returns the claim; the tally must be locked."""
        return next(iter(self._link.locked(_read_claim, _CLAIM, (namespace, service, txn), ALONE)), None)

    def insert(self, claim: SharedClaim) -> None:
        values = (
            *(claim.namespace, claim.service, claim.txn, claim.request, claim.claimant),
            *(claim.until, claim.still, claim.state.value, claim.answer),
        )
        if self._link.change(_SHARED_INSERT, values) != 1:
            self._link.conflict(f"the claim for `{claim.txn}`")

    def put(self, claim: SharedClaim) -> None:
        values = (claim.state.value, claim.answer, claim.namespace, claim.service, claim.txn)
        if self._link.change(_PUT, values) != 1:
            self._link.conflict(f"the claim for `{claim.txn}`")

    def put_tally(self, tally: Tally) -> None:
        values = (tally.turn, tally.claims, tally.room, tally.forgotten, tally.namespace, tally.service)
        if self._link.change(_PUT_TALLY, (*values, tally.turn)) != 1:
            self._link.conflict(f"what is kept of service `{tally.service}`")

    def drop(
        self, namespace: str, service: str, before: Instant, *, limit: int
    ) -> tuple[tuple[Instant, int], ...]:
        key = (namespace, service)
        return self._link.locked(_gone, _DROP, (*key, *key, before, limit))


def _pair(namespace: str, service: str) -> tuple[str, str]:
    return namespace, service


def _gone(until: int, state: str, length: int) -> tuple[Instant, int]:
    return Instant(until), LONGEST_ANSWER if state == ServedState.BEGUN.value else length

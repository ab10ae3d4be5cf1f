"""Tokens and the keys that sign them, in rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.adapters.store.sql.rows.columns import json_texts, read_texts
from taskbound.core.clock import Instant
from taskbound.core.identity.proof import Binding, BindingKind
from taskbound.core.token import IssuingKey, Token, TokenForm, TokenKeyState

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.adapters.store.sql.rows.link import Link


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


class SqlTokens:
    """Reads them through one connection, and writes them in a transaction."""

    __slots__ = ("_link",)

    def __init__(self, link: Link) -> None:
        """Go through this link."""
        self._link = link

    def token(self, namespace: str, token: str) -> Token | None:
        """The token of this id."""
        return self._link.one(read_token, _ONE, (namespace, token))

    def tokens(
        self, namespace: str, *, task: str = "", agent: str = "", limit: int = 50, before: str = ""
    ) -> tuple[Token, ...]:
        """Tokens, newest first."""
        return self._link.all(read_token, _SOME, (namespace, task, agent, before, limit))

    def listed(self, number: int, now: Instant) -> tuple[Token, ...]:
        """The tokens of this status list that have not ended, by their places."""
        return self._link.all(read_token, _LISTED, (number, now))

    def is_told(self, namespace: str, task: str, action: str) -> bool:
        """Whether somebody may have a transaction token of this action."""
        return self._link.whole(_TOLD, (namespace, task, action)) > 0

    def key(self, kid: str) -> IssuingKey | None:
        """The key of this name."""
        return self._link.one(read_key, _KEY, (kid,))

    def all_keys(self) -> tuple[IssuingKey, ...]:
        """Every key, in the order in which they were made."""
        return self._link.all(read_key, _ALL_KEYS)

    def insert(self, token: Token) -> None:
        """Write a new one."""
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
        """Revoke those of these that are not yet."""
        said = (at, why, int(unsigned), namespace)
        return tuple(one for one in sorted(set(tokens)) if self._link.change(_REVOKE, (*said, one)) == 1)

    def lock_tokens(self, namespace: str, tokens: Collection[str]) -> Mapping[str, Token]:
        """By id: those of these that exist; the transaction holds the one lock there is."""
        if len(tokens) == 1:
            (name,) = tokens
            one = self.token(namespace, name)
            return {} if one is None else {name: one}
        found = self._link.all(read_token, _THESE, (namespace, json_texts(sorted(tokens))))
        return {one.id: one for one in found}

    def sweep(self, before: Instant, *, limit: int) -> int:
        """Forget tokens that ended before this."""
        return self._link.change(_SWEEP, (before, limit))

    def lock_keys(self, *, moves: bool = False) -> tuple[IssuingKey, ...]:  # noqa: ARG002 - one lock
        """Every key; the transaction holds the one lock there is."""
        return self.all_keys()

    def put_key(self, key: IssuingKey, *, expect: TokenKeyState | None) -> None:
        """Write the key."""
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
    """The token of a row."""
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


def read_key(  # noqa: PLR0913, PLR0917 - the columns of a row, in order
    kid: str, public: bytes, state: str, made: int, used: int, retired: int, revoked: int, why: str
) -> IssuingKey:
    """A key, from its columns."""
    return IssuingKey(
        kid=kid,
        public=bytes(public),
        state=TokenKeyState(state),
        made=Instant(made),
        used=Instant(used),
        retired=Instant(retired),
        revoked=Instant(revoked),
        why=why,
    )

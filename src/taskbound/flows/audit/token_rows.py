"""Comparing tokens with the log: what each says, whether it was revoked, and the keys that sign.

1. A token counts for as long as its row says, so a row that ends later than its record says, or that is not
   revoked any more, would let its holder in.
2. What is over by the newest record counts no more, and is not followed. A token of an action is, as long as
   the action is open: it shows that the action may have been used. So memory grows with what lives.
3. A signing key that was written into the database could sign tokens that the daemon never issued; a revoked
   key stays revoked.
4. Not compared: what a token says beside that, which is in the digest of its claims; the signer computes it
   again before it signs.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from taskbound.core.audit import ActionOutcome, parse_record
from taskbound.core.audit.events.token import TokenIssued, TokenKeyRevoked, TokenKeyRotated, TokenRevoked
from taskbound.core.errors import MalformedError
from taskbound.core.token import DEFAULT_NAMESPACE, NEVER, TokenKeyState
from taskbound.flows.audit.compared import Told
from taskbound.wire.jose import parse_jwk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.core.audit import Record
    from taskbound.core.token import Token
    from taskbound.flows.audit.compared import Fields
    from taskbound.ports.store import Snapshot


_PAGE: Final = 500


class TokenLedger:
    """What the log says of tokens, and of the keys that sign them."""

    def __init__(self, snapshot: Snapshot) -> None:
        """Compare with this."""
        self._snapshot = snapshot
        self._newest = _newest(snapshot)
        self._tokens = Told("token", "issued")
        self._keys = Told("key of tokens", "made")
        self._of_actions: dict[tuple[str, str], list[str]] = {}
        self._spaces: set[str] = set()

    def take(self, record: Record) -> None:
        """Follow one record."""
        space = record.namespace
        self._spaces.add(space)
        match record.event:
            case TokenIssued() as event if event.action or event.expires > self._newest:
                self._tokens.put(space, event.token, **_issued(event))
                if event.action:
                    self._of_actions.setdefault((space, event.action), []).append(event.token)
            case TokenRevoked() as event:
                revocation = (record.at, event.why, event.unsigned)
                self._tokens.change(space, event.token, revocation=revocation)
            case ActionOutcome() as event:
                for token in self._of_actions.pop((space, event.action), ()):
                    self._forget(space, token)
            case TokenKeyRotated() as event:
                self._rotate(event)
            case TokenKeyRevoked() as event:
                self._keys.change(DEFAULT_NAMESPACE, event.key, state=TokenKeyState.REVOKED)
            case _:
                pass

    def _forget(self, space: str, token: str) -> None:
        expires = self._tokens.rows[space, token]["end"]
        if isinstance(expires, int) and expires <= self._newest:
            self._tokens.drop(space, token)

    def _rotate(self, event: TokenKeyRotated) -> None:
        for kid, state in (
            (event.retired, TokenKeyState.RETIRED),
            (event.current, TokenKeyState.CURRENT),
            (event.following, TokenKeyState.NEXT),
        ):
            if kid:
                self._keys.put(DEFAULT_NAMESPACE, kid, state=state, **{"public half": kid})

    def differences(self) -> Iterator[str]:
        """Where the rows differ, in words."""
        for space in sorted(self._spaces | set(self._snapshot.identities.namespaces())):
            yield from self._tokens.against(space, dict(self._rows(space)))
        keys = {
            one.kid: {"state": one.state, "public half": _thumbprint(one.public)}
            for one in self._snapshot.tokens.all_keys()
        }
        yield from self._keys.against(DEFAULT_NAMESPACE, keys)

    def _rows(self, space: str) -> Iterator[tuple[str, Fields]]:
        before = ""
        while page := self._snapshot.tokens.tokens(space, limit=_PAGE, before=before):
            for one in page:
                if one.expires > self._newest or (space, one.id) in self._tokens.rows:
                    yield one.id, _fields(one)
            before = page[-1].id


def _newest(snapshot: Snapshot) -> int:
    """When the newest record was written; 0 for an empty log."""
    pending = snapshot.audit.pending(snapshot.audit.count())
    bodies = [one.body for one in pending] or snapshot.audit.records(max(0, snapshot.audit.size() - 1), 1)
    return max((parse_record(one).at for one in bodies), default=0)


def _issued(event: TokenIssued) -> Fields:
    return {
        "form": event.form,
        "task": event.task,
        "agent": event.agent,
        "subject": event.subject,
        "audience": event.audience,
        "binding": event.binding,
        "end": event.expires,
        "key": event.key,
        "digest": event.digest,
        "parent": event.parent,
        "action": event.action,
        "hand-over": event.may_act,
        "proof": event.proven_by,
        "place in the status list": event.listed,
        "revocation": None,
    }


def _fields(row: Token) -> Fields:
    binding = row.binding
    return {
        "form": row.form.value,
        "task": row.task,
        "agent": row.agent,
        "subject": row.subject,
        "audience": row.audience,
        "binding": f"{binding.kind.value}:{binding.thumbprint}" if binding is not None else "",
        "end": row.expires,
        "key": row.key,
        "digest": row.digest,
        "parent": row.parent,
        "action": row.action,
        "hand-over": row.may_act,
        "proof": row.proven_by,
        "revocation": None if row.revoked == NEVER else (row.revoked, row.why, row.unsigned),
        "place in the status list": f"{row.list}/{row.index}",
    }


def _thumbprint(public: bytes) -> str:
    try:
        return parse_jwk(json.loads(public)).thumbprint
    except (MalformedError, ValueError):
        return ""

"""Operations on tokens and on the keys that sign them.

1. A reader may list tokens. A row says what a token is for, never its text, which is stored nowhere, and its
   state as its verification would find it.
2. A person revokes their own tokens (`flows.token.revoking`). Keys are rotated and revoked by the account
   that owns the data directory, because they sign for all namespaces.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from taskbound.core.errors import DeniedError, MalformedError, TaskboundError
from taskbound.core.identity import NotOwnerError
from taskbound.core.token import (
    DEFAULT_NAMESPACE,
    NEVER,
    KeysElsewhereError,
    TokenState,
    UnknownTokenError,
    is_published,
    state_of,
)
from taskbound.flows.token import Published, TokenKeys, Tokens, Verification, revoke_token
from taskbound.flows.token.standing import require_token_stands
from taskbound.surfaces.api.auth.authority import apart, at_once
from taskbound.surfaces.api.server.operation import as_giver, from_snapshot, operation
from taskbound.surfaces.api.server.tracing import TracedSigner
from taskbound.wire import token as wire

if TYPE_CHECKING:
    from taskbound.core.clock import Instant
    from taskbound.core.token import IssuingKey, Token
    from taskbound.flows.means import Actor, Adapters
    from taskbound.flows.token import Issuing
    from taskbound.ports.store import Snapshot
    from taskbound.ports.token import TokenSigner
    from taskbound.surfaces.api.server.connection import Connection
    from taskbound.surfaces.api.server.daemon import Daemon
    from taskbound.surfaces.api.server.operation import GiverAct, Reading
    from taskbound.wire.envelope import Answer


_PAGE: Final = 200


class TokenFlows:
    """The flows that issue, verify and publish tokens in one daemon."""

    def __init__(self, adapters: Adapters, issuing: Issuing, signer: TokenSigner) -> None:
        self._signer, self._issuer = signer, issuing.issuer
        self.keys = TokenKeys(adapters, signer)
        self.issuing = Tokens(adapters, issuing, TracedSigner(signer), self.keys)
        """Issues them; in any thread but the worker's, as it waits for the signer."""
        self.verification = Verification(adapters, issuing)
        """Verifies them; in any thread."""
        self.published = Published(adapters, signer)
        """The document of keys, and status lists; in any thread, as it may wait for the signer."""
        self.flights: dict[int, asyncio.Task[str]] = {}
        """Status lists that are being signed, by number; in the loop."""
        self.turn = asyncio.Lock()
        """Whose list is signed now: strangers ask for them, and take one thread and no more by that."""

    def trouble(self) -> tuple[str, str]:
        """Asks the signer; returns why no token can be signed now and a remedy; empty if one can."""
        try:
            self._signer.look(self._issuer)
        except TaskboundError as error:
            return f"{error.message} [{error.code}]", error.advice
        return "", ""

    def tend(self) -> None:
        """Does what is due for keys; does nothing if no token was ever requested."""
        if self.keys.all_keys():
            self.keys.tend()


@from_snapshot(wire.ListTokens)
def _list_tokens(reading: Reading, ask: wire.ListTokens) -> Answer:
    limit = max(1, min(ask.limit, _PAGE))
    now = reading.adapters.clock.now()
    found = reading.snapshot.tokens.tokens(
        reading.namespace, task=ask.task, agent=ask.agent, limit=limit + 1, before=ask.before
    )
    rows = tuple(_row(reading.snapshot, one, now) for one in found[:limit])
    return wire.TokenRows(rows=rows, more=len(found) > limit)


@from_snapshot(wire.ShowToken)
def _show_token(reading: Reading, ask: wire.ShowToken) -> Answer:
    found = reading.snapshot.tokens.token(reading.namespace, ask.token)
    if found is None:
        raise UnknownTokenError(f"no token is named `{ask.token}`")
    return _row(reading.snapshot, found, reading.adapters.clock.now())


@as_giver(wire.RevokeToken)
def _revoke_one(act: GiverAct, ask: wire.RevokeToken) -> None:
    why = ask.why or "no reason given"
    revoke_token(act.adapters, act.namespace, ask.token, act.actor, owns=act.owns, why=why)


@operation(wire.ListTokenKeys)
async def _list_keys(daemon: Daemon, _connection: Connection, ask: wire.ListTokenKeys) -> Answer:
    trouble, advice = await apart(daemon.token.trouble) if ask.look else ("", "")

    def read() -> Answer:
        found = _keys(daemon.token.keys.all_keys(), daemon.adapters.clock.now())
        return replace(found, trouble=trouble, advice=advice)

    return await daemon.read(read)


@operation(wire.RotateTokenKeys)
async def _rotate_keys(daemon: Daemon, connection: Connection, _ask: wire.RotateTokenKeys) -> Answer:
    def work() -> Answer:
        _require_default(connection)
        actor = _require_owner(*daemon.require_giver(connection))
        return _keys(daemon.token.keys.rotate(actor, forced=True), daemon.adapters.clock.now())

    return await apart(work)


@operation(wire.RevokeTokenKey)
async def _revoke_key(daemon: Daemon, connection: Connection, ask: wire.RevokeTokenKey) -> Answer:
    def work() -> Answer:
        _require_default(connection)
        actor = _require_owner(*daemon.require_giver(connection))
        found = daemon.token.keys.revoke(ask.key, actor, why=ask.why or "no reason given")
        return _keys(found, daemon.adapters.clock.now())

    return await at_once(work)


def _require_default(connection: Connection) -> None:
    """Keys of tokens belong to all namespaces, so the rules of the default one apply."""
    if connection.namespace != DEFAULT_NAMESPACE:
        raise KeysElsewhereError(
            f"keys of tokens are of all namespaces, and are not changed in `{connection.namespace}`"
        )


def _require_owner(actor: Actor, owns: bool) -> Actor:  # noqa: FBT001 - the pair that a giver is
    if not owns:
        raise NotOwnerError("keys of tokens are the account's that owns the data directory")
    return actor


def _row(snapshot: Snapshot, token: Token, now: Instant) -> wire.TokenRow:
    """A row is also void if what its token depends on has ended without a revocation (rule 1)."""
    binding, state, why = token.binding, state_of(token, now).value, token.why
    try:
        require_token_stands(snapshot, token, now)
    except DeniedError as error:
        if state == TokenState.ISSUED.value:
            state, why = "ended", error.message
    return wire.TokenRow(
        token=token.id,
        form=token.form.value,
        state=state,
        task=token.task,
        agent=token.agent,
        subject=token.subject,
        actors=token.actors,
        audience=token.audience,
        binding="" if binding is None else f"{binding.kind.value}:{binding.thumbprint}",
        issued=token.issued,
        expires=token.expires,
        key=token.key,
        parent=token.parent,
        action=token.action,
        revoked=None if token.revoked == NEVER else token.revoked,
        why=why,
        may_act=token.may_act,
    )


def _keys(keys: tuple[IssuingKey, ...], now: Instant) -> wire.TokenKeyRows:
    return wire.TokenKeyRows(
        rows=tuple(
            wire.TokenKeyRow(
                key=one.kid,
                state=one.state.value,
                published=is_published(one, now),
                made=one.made,
                used=None if one.used == NEVER else one.used,
                why=one.why,
            )
            for one in keys
        )
    )


async def note_unbelieved(
    daemon: Daemon, namespace: str, form: str, shown: str, error: TaskboundError
) -> None:
    """Records a void token (`flows.identity.Proofs.refuse`), unless its worth could not be determined.

    `form` is `token`, or `dpop` for a proof alone; an empty `shown` is not recorded.
    """
    if shown and isinstance(error, DeniedError | MalformedError):
        await daemon.read(partial(daemon.proofs.refuse, namespace, form, shown, error))

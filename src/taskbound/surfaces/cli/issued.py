"""`taskbound token`: issued tokens and their signing keys. No command prints a token."""

from __future__ import annotations

from typing import Annotated

import typer

from taskbound.surfaces.cli.screen import moment, shown
from taskbound.surfaces.cli.session import Session, command, group
from taskbound.surfaces.cli.token import app
from taskbound.wire.connection import Done
from taskbound.wire.token import (
    ListTokenKeys,
    ListTokens,
    RevokeToken,
    RevokeTokenKey,
    RotateTokenKeys,
    ShowToken,
    TokenKeyRows,
    TokenRow,
    TokenRows,
)

keys = group("key", "The keys that sign tokens: one signs, one is next, one still verifies.")
app.add_typer(keys)

TokenArgument = Annotated[
    str, typer.Argument(metavar="TOKEN", help="The name of the token, tok_….", show_default=False)
]
KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="The `kid` of the key.", show_default=False)]
WhyOption = Annotated[str, typer.Option("--why", help="Why, in words; it stands in the log.")]


@command(app, "list", examples="taskbound token list --task tsk_… --limit 20")
def list_tokens(
    session: Session,
    task: Annotated[str, typer.Option("--task", help="Only tokens of this task.")] = "",
    agent: Annotated[str, typer.Option("--agent", help="Only tokens of this agent.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=200, help="How many at most.")] = 50,
    before: Annotated[str, typer.Option("--before", help="The last token of the page before.")] = "",
) -> None:
    """List tokens, newest first; the token itself is not stored."""
    ask = ListTokens(task=task, agent=agent, limit=limit, before=before)
    found = session.ask(ask, TokenRows)
    if session.screen.json:
        session.screen.document(found)
        return
    session.screen.table(
        ("TOKEN", "FORM", "STATE", "WHO", "TASK", "ENDS"),
        [
            (one.token, one.form, one.state, one.agent or one.subject, one.task, moment(one.expires))
            for one in found.rows
        ],
        "no tokens",
    )
    if found.more:
        session.screen.note(f"there are more: --before {shown(found.rows[-1].token)}", "dim")


@command(app, "show", examples="taskbound token show tok_…")
def show(session: Session, token: TokenArgument) -> None:
    """Show a token's purpose, what it is bound to, and whether it is valid."""
    found = session.ask(ShowToken(token=token), TokenRow)
    if session.screen.json:
        session.screen.document(found)
        return
    session.screen.heading(shown(found.token))
    session.screen.fields(
        [
            ("  form", found.form),
            ("  state", f"{found.state}: {found.why}" if found.why else found.state),
            ("  for", found.audience),
            ("  of", found.subject),
            ("  acting", tuple(found.actors)),
            ("  task", found.task),
            ("  action", found.action),
            ("  bound to", found.binding or "nothing: any bearer can use it"),
            ("  issued", moment(found.issued)),
            ("  ends", moment(found.expires)),
            ("  key", found.key),
            ("  exchanged for", found.parent),
        ]
    )


@command(app, "revoke", asks=True, examples="taskbound token revoke tok_… --why 'seen in a log' --yes")
def revoke(session: Session, token: TokenArgument, why: WhyOption = "") -> None:
    """Revoke a token of yours, of a task that you requested, or of an agent that you own."""
    session.confirm(f"Revoke the token {shown(token)}? It is worth nothing from then on.")
    session.done(session.ask(RevokeToken(token=token, why=why), Done), f"token {shown(token)} revoked")


@command(keys, "list", examples="taskbound token key list")
def list_keys(session: Session) -> None:
    """List current and former signing keys of tokens."""
    _tell(session, session.ask(ListTokenKeys(), TokenKeyRows))


@command(keys, "rotate", asks=True, examples="taskbound token key rotate --yes")
def rotate(session: Session) -> None:
    """Switch to the next signing key now; only the owner of the data directory may."""
    session.confirm("Take the next key into use? Tokens of the one before stand until they end.")
    _tell(session, session.ask(RotateTokenKeys(), TokenKeyRows))


@command(keys, "revoke", asks=True, examples="taskbound token key revoke 3V1… --why 'stolen' --yes")
def revoke_key(session: Session, key: KeyArgument, why: WhyOption = "") -> None:
    """Revoke a signing key and all tokens that it signed; only the owner of the data directory may."""
    session.confirm(f"Revoke the key {shown(key)}? No token that it signed is worth anything from then on.")
    _tell(session, session.ask(RevokeTokenKey(key=key, why=why), TokenKeyRows))


def _tell(session: Session, found: TokenKeyRows) -> None:
    if session.screen.json:
        session.screen.document(found)
        return
    session.screen.table(
        ("KEY", "STATE", "PUBLISHED", "MADE", "SIGNS SINCE", "WHY"),
        [
            (
                one.key,
                one.state,
                "yes" if one.published else "no",
                moment(one.made),
                moment(one.used) if one.used is not None else "",
                one.why,
            )
            for one in found.rows
        ],
        "no key: the first token that is asked for has them made",
    )

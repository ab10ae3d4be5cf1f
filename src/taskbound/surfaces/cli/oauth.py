"""Confirms a server's OAuth client before it is pinned.

The user names the issuer: neither the server nor an attacker on the way to it may choose who gets the
client's secret. The issuer's endpoints are shown, and the user confirms them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from taskbound.core.tool.oauth.client import METHODS, OAuthClient
from taskbound.core.tool.slot import KEY_SLOT, SECRET_SLOT
from taskbound.surfaces.cli.reading import BadInputError
from taskbound.surfaces.cli.screen import shown
from taskbound.wire.tool import OAuthSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.surfaces.cli.session import Session


_PARTS: Final = ("client", "issuer", "method", "resource", "revoke", "scope", "token")
OAuth = Annotated[
    list[str] | None,
    typer.Option(
        "--oauth",
        metavar="NAME=VALUE",
        help="Reach the URL with tokens: client, issuer, method, scope, resource, token, revoke. Repeatable.",
    ),
]


def ask_client(
    session: Session, url: str, words: Sequence[str], *, key: str, authorities: str
) -> OAuthSpec | None:
    """Look up the issuer of the client in `words` (`NAME=VALUE`), and ask the user to confirm it.

    `key` is the server's pinned key, `authorities` the file of its certificate authorities, if any.
    """
    if not words:
        return None
    if not url:
        raise BadInputError(
            "only a server behind a URL is reached with tokens", remedy="give `--url` with it"
        )
    authorized = session.plugs.authorize(url, _parse(words), key, authorities)
    spec = authorized.spec
    OAuthClient(
        client=spec.client,
        token=spec.token,
        method=spec.method,
        resource=spec.resource,
        issuer=spec.issuer,
        revocation=spec.revocation,
        scopes=spec.scopes,
    )
    for line in (client_words(spec), *authorized.notes):
        session.screen.note(line)
    session.confirm(f"Give the secret of {shown(spec.client)} to {shown(spec.token)}, for tokens?")
    return spec


def client_words(spec: OAuthSpec) -> str:
    """Return the client in one line without secrets."""
    return (
        f"tokens are asked for as {shown(spec.client)} ({shown(spec.method)}) at {shown(spec.token)},"
        f" for {shown(spec.resource)}, scope {shown(' '.join(spec.scopes)) or 'none'},"
        f" and given back at {shown(spec.revocation) or 'no endpoint'}"
    )


def with_slot(slots: Sequence[str], spec: OAuthSpec | None) -> list[str]:
    """Add the slot for the client's secret, if the client has one."""
    if spec is None:
        return list(slots)
    return [*slots, (KEY_SLOT if spec.method == "private_key_jwt" else SECRET_SLOT).text]


def _parse(words: Sequence[str]) -> OAuthSpec:
    found: dict[str, str] = {}
    scopes: set[str] = set()
    for word in words:
        name, mark, value = word.partition("=")
        if not mark or not value or name not in _PARTS or name in found:
            raise BadInputError(
                f"`{shown(name)}` is no part of an OAuth client, or stands twice",
                remedy=f"give {', '.join(f'`{one}=`' for one in _PARTS)}",
            )
        if name == "scope":
            scopes.update(value.split())
        else:
            found[name] = value
    if "client" not in found:
        raise BadInputError("the client's id is missing", remedy="give `--oauth client=ID`")
    return OAuthSpec(
        client=found["client"],
        method=found.get("method", METHODS[0]),
        issuer=found.get("issuer", ""),
        token=found.get("token", ""),
        revocation=found.get("revoke", ""),
        resource=found.get("resource", ""),
        scopes=tuple(sorted(scopes)),
    )

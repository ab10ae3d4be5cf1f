"""The OAuth client of a server, as a person names it, and as it is shown before it is pinned.

The person names the issuer, since the client is known there and nowhere else: neither the server nor anybody
on the way to it chooses who is given the client's secret. What the issuer says of its endpoints is shown, and
the person says yes.
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
    """The client that the words name, once its issuer was looked at and the person has said yes to it.

    Args:
        session: The command's.
        url: The server's.
        words: Each `NAME=VALUE`.
        key: The server's, if one is pinned.
        authorities: The file with those who certify the server, if there is one.

    Raises:
        BadInputError: A word is none, or stands twice.
        TaskboundError: It can't be pinned, or its issuer or the server say something else.
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
    """The client in one line; nothing of it is secret."""
    return (
        f"tokens are asked for as {shown(spec.client)} ({shown(spec.method)}) at {shown(spec.token)},"
        f" for {shown(spec.resource)}, scope {shown(' '.join(spec.scopes)) or 'none'},"
        f" and given back at {shown(spec.revocation) or 'nobody'}"
    )


def with_slot(slots: Sequence[str], spec: OAuthSpec | None) -> list[str]:
    """These slots, and the one of what the client proves itself with, if there is one."""
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

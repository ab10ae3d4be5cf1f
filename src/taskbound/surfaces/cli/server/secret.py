"""Secrets and OAuth clients of upstream servers, sealed here.

1. A value never comes from an argument or a variable, which other programs can read.
2. What leaves this process is sealed to the egress's key, for one pinned server and one slot.
3. The pin's digest is computed here: otherwise the daemon could list one program under another's digest.
4. A slot that a credential fills takes no value (`core.tool.source`).
5. The user confirms an OAuth client's issuer and endpoints: neither the server nor an attacker on the way to
   it may choose who gets the client's secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from taskbound.core.errors import DeniedError
from taskbound.core.tool import Binding, Slot, parse_slot, require_secret
from taskbound.core.tool.oauth.client import METHODS, OAuthClient
from taskbound.core.tool.slot import KEY_SLOT, SECRET_SLOT
from taskbound.surfaces.cli.reading import BadInputError
from taskbound.surfaces.cli.screen import shown
from taskbound.surfaces.cli.session import Session, argument, command, option
from taskbound.wire.connection import Done
from taskbound.wire.tool import ListUpstreams, OAuthSpec, SetSecret, UpstreamRow, UpstreamRows, identity_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskbound.wire.tool import SecretRow, ServerSpec


_PARTS: Final = ("client", "issuer", "method", "resource", "revoke", "scope", "token")
OAuth = Annotated[
    list[str] | None,
    option(
        "--oauth NAME=VALUE",
        "Reach the URL with tokens: client, issuer, method, scope, resource, token, revoke. Repeatable.",
    ),
]


def ask_client(
    session: Session, url: str, words: Sequence[str], *, key: str, authorities: str
) -> OAuthSpec | None:
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
    return (
        f"tokens are asked for as {shown(spec.client)} ({shown(spec.method)}) at {shown(spec.token)},"
        f" for {shown(spec.resource)}, scope {shown(' '.join(spec.scopes)) or 'none'},"
        f" and given back at {shown(spec.revocation) or 'no endpoint'}"
    )


def with_slot(slots: Sequence[str], spec: OAuthSpec | None) -> list[str]:
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


class MisnamedPinError(DeniedError):
    """The daemon lists a server under another's digest, or not as it was just probed."""

    code = "misnamed-pin"
    remedy = "give it no secret; look at the daemon's machine and database, and at `taskbound audit verify`"


def add_secret(app: typer.Typer) -> None:
    command(
        app,
        "secret",
        asks=True,
        examples="taskbound upstream secret github environment:GITHUB_TOKEN --yes < token\n"
        "taskbound upstream secret github environment:GITHUB_TOKEN --remove --yes",
    )(secret)


def secret(
    session: Session,
    server: Annotated[str, argument("", "The server's name.")],
    slot: Annotated[str, argument("SLOT", "As `upstream add --secret` declared it.")],
    *,
    remove: Annotated[bool, option("--remove", "Take the value away.")] = False,
) -> None:
    """Fill a slot of a server with a secret, or replace it; shows the server first.

    The value is read from a pipe or typed without echo, and sealed to the egress's key before it leaves this
    command: daemon, database, log and gateways never have it.
    """
    place = parse_slot(slot)
    row = _row(session, server)
    if remove:
        session.confirm(f"Take away what is in {shown(place.text)} of {shown(server)}?")
        ask = SetSecret(server=server, slot=place.text, number=_next(row, place))
        session.act(ask, f"{shown(place.text)} of {shown(server)} is empty")
        return
    _require_named(session, row, row.spec)
    session.confirm(f"Give a secret to {shown(server)}, which is {_what(row.spec)}?")
    value = session.plugs.read_secret(f"{place.text}: ")
    if not value:
        raise BadInputError(
            "no secret was given", remedy="pipe it in, or type it when it is asked for; it is not shown"
        )
    done = _set(session, row, place, value)
    session.done(done, f"{shown(place.text)} of {shown(server)} is filled")


def read_slots(session: Session, slots: Sequence[str]) -> dict[Slot, str | None]:
    """Read a value for each slot; None for an empty line."""
    found: dict[Slot, str | None] = {}
    for text in slots:
        slot = parse_slot(text)
        if slot in found:
            raise BadInputError(f"`{shown(slot.text)}` stands twice", remedy="name each slot once")
        if slot.source is not None:
            found[slot] = None  # 4
            continue
        found[slot] = session.plugs.read_secret(f"{slot.text} (empty: later): ") or None
        value = found[slot]
        if value is not None:
            require_secret(slot, value)
    return found


def fill_slots(session: Session, spec: ServerSpec, values: Mapping[Slot, str | None]) -> tuple[str, ...]:
    """Seal and store values for a server as it was probed; returns the slots left empty."""
    given = {slot: value for slot, value in values.items() if value is not None}
    if given:
        row = _row(session, spec.name)
        _require_named(session, row, spec)
        for slot, value in given.items():
            _set(session, row, slot, value)
    return tuple(slot.text for slot in values if slot not in given and slot.source is None)


def how_filled(secrets: Sequence[SecretRow]) -> str:
    return ", ".join(map(_cell, secrets)) or "-"


def _cell(row: SecretRow) -> str:
    slot = parse_slot(row.slot)
    if slot.source is not None:
        return f"{slot.place} (minted: {slot.source.text.partition(':')[2]})"
    return f"{row.slot} ({'filled' if row.filled else 'empty'})"


def _set(session: Session, row: UpstreamRow, slot: Slot, value: str) -> Done:
    binding = Binding(
        namespace=session.namespace,
        server=row.spec.name,
        identity=row.identity,
        slot=slot.text,
        number=_next(row, slot),
    )
    sealed = session.plugs.seal(session.place, value, binding)  # 2
    ask = SetSecret(server=row.spec.name, slot=slot.text, number=binding.number, sealed=sealed)
    return session.ask(ask, Done)


def _require_named(session: Session, row: UpstreamRow, spec: ServerSpec) -> None:
    """Refuse unless the daemon's row is that of this spec."""
    wanted = identity_of(spec, namespace=session.namespace).digest
    if (row.identity, identity_of(row.spec, namespace=session.namespace).digest) != (wanted, wanted):
        raise MisnamedPinError(f"the daemon lists `{shown(spec.name)}` under the digest of something else")


def _what(spec: ServerSpec) -> str:
    if spec.oauth is not None:
        return f"{shown(spec.url)}; {client_words(spec.oauth)}"
    return shown(spec.url or " ".join((spec.command, *spec.arguments)))


def _row(session: Session, server: str) -> UpstreamRow:
    for row in session.ask(ListUpstreams(), UpstreamRows).rows:
        if row.spec.name == server:
            return row
    raise BadInputError(f"no server is named `{shown(server)}`", remedy="see `taskbound upstream list`")


def _next(row: UpstreamRow, slot: Slot) -> int:
    for one in row.secrets:
        pinned = parse_slot(one.slot)
        if pinned.place == slot.place and pinned.source is not None:  # 4
            raise BadInputError(
                f"`{shown(slot.place)}` of this server is filled by `{shown(pinned.source.text)}`",
                remedy="it takes no value: each task that calls the server gets a credential of its own",
            )
        if one.slot == slot.text:
            return one.number + 1
    raise BadInputError(
        f"server `{shown(row.spec.name)}` was not pinned with the slot `{shown(slot.text)}`",
        remedy="see its slots with `taskbound upstream list`; they are declared by `upstream add --secret`",
    )

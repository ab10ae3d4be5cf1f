"""`taskbound task issuer`, and reading and showing evidence of tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from taskbound.surfaces.cli.reading import BadInputError, read_file
from taskbound.surfaces.cli.screen import moment, shown
from taskbound.surfaces.cli.session import Session, argument, command, group, option
from taskbound.wire.task import AddIssuer, IssuerRows, ListIssuers, RemoveIssuer

if TYPE_CHECKING:
    from taskbound.wire.task import EvidenceRow


issuers = group("issuer", "Whose signed word counts as evidence.")

NameArgument = Annotated[str, argument("", "Its short name here, such as tickets.")]
EvidenceOption = Annotated[
    list[str] | None,
    option("--evidence", "What it rests on: ticket:SYSTEM:ID or words:sha256:HEX. Repeatable."),
]
TokenOption = Annotated[
    list[str] | None,
    option("--evidence-jws FILE", "A signed token of an issuer whose word counts; `-` reads it. Repeatable."),
]


def read_tokens(files: list[str] | None) -> tuple[str, ...]:
    found = []
    for name in files or ():
        raw = read_file(name).removesuffix(b"\n").removesuffix(b"\r")
        if not raw.isascii():
            raise BadInputError(f"`{shown(name)}` holds no token: a token is ASCII")
        found.append(raw.decode("ascii"))
    return tuple(found)


def evidence_words(row: EvidenceRow) -> str:
    match row.verdict:
        case "proven":
            return f"{row.text} (proven until {moment(row.until)})"
        case "lapsed":
            return f"{row.text} (expired {moment(row.until)})"
        case "disowned":
            return f"{row.text} (counts no more: {row.reason})"
        case _:
            return f"{row.text} ({row.verdict})"


@command(
    issuers,
    "add",
    examples="taskbound task issuer add tickets --issuer https://example.com/tickets --keys keys.json",
)
def add(
    session: Session,
    name: NameArgument,
    issuer: Annotated[str, option("--issuer", "What its tokens say as `iss`, exactly.")],
    keys: Annotated[str, option("--keys FILE", "Its public keys, a JWK or a JWK set; `-` reads them.")],
    audience: Annotated[
        str, option("--audience", "What they say as `aud`; urn:taskbound:NAMESPACE if not given.")
    ] = "",
) -> None:
    """Accept an issuer's signed evidence; only the owner of the data directory may."""
    raw = read_file(keys)
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise BadInputError(f"`{shown(keys)}` holds no keys: it is not UTF-8") from error
    ask = AddIssuer(name=name, issuer=issuer, audience=audience, keys=text)
    session.act(ask, f"issuer {shown(name)} added")


@command(issuers, "list", examples="taskbound task issuer list")
def list_all(session: Session) -> None:
    """List the issuers whose evidence is accepted, and their keys."""
    found = session.show(ListIssuers(), IssuerRows)
    if not found.rows:
        session.screen.line("no issuers; add one with `taskbound task issuer add`")
    for one in found.rows:
        session.screen.heading(shown(one.name))
        session.screen.fields(
            [
                ("  issuer", one.issuer),
                ("  audience", one.audience),
                ("  keys", tuple(one.keys)),
            ]
        )


@command(issuers, "remove", asks=True, examples="taskbound task issuer remove tickets --yes")
def remove(session: Session, name: NameArgument) -> None:
    """Stop accepting an issuer's evidence, including what it signed before."""
    session.confirm(f"Remove the issuer {shown(name)}? What it signed counts no more.")
    session.act(RemoveIssuer(name=name), f"issuer {shown(name)} removed")

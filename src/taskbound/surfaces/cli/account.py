"""`taskbound person account|session`: accounts of persons at issuers, and their browser sessions."""

from __future__ import annotations

from typing import Annotated

import typer

from taskbound.surfaces.cli.identity import people
from taskbound.surfaces.cli.screen import moment, shown
from taskbound.surfaces.cli.session import Session, command, group
from taskbound.wire.connection import Done
from taskbound.wire.identity import (
    AccountRows,
    EndSession,
    LinkAccount,
    ListAccounts,
    ListSessions,
    SessionRows,
    UnlinkAccount,
)

accounts = group("account", "People's accounts at issuers, with which they sign in.")
sessions = group("session", "Who is signed in with a browser.")
people.add_typer(accounts)
people.add_typer(sessions)

PersonArgument = Annotated[str, typer.Argument(metavar="PERSON", help="Whose it is.", show_default=False)]
IssuerOption = Annotated[
    str, typer.Option("--issuer", help="The issuer's short name (`taskbound agent issuer list`).")
]
SubjectOption = Annotated[
    str, typer.Option("--subject", help="The `sub` that the issuer gives, to the letter.")
]
OfOption = Annotated[str, typer.Argument(metavar="[PERSON]", help="Theirs alone.", show_default=False)]


@command(
    accounts,
    "link",
    examples="taskbound person account link alice --issuer corp --subject 248289761001",
)
def link(session: Session, person: PersonArgument, issuer: IssuerOption, subject: SubjectOption) -> None:
    """Link an account at an issuer to a person; only the owner of the data directory may.

    Anyone who controls that account then acts as this person.
    """
    session.ask(LinkAccount(person=person, issuer=issuer, subject=subject), Done)
    session.done(Done(), f"{shown(subject)} of {shown(issuer)} is {shown(person)}")


@command(accounts, "list", examples="taskbound person account list alice")
def list_all(session: Session, person: OfOption = "") -> None:
    """List the accounts that are linked to persons."""
    found = session.ask(ListAccounts(person=person), AccountRows)
    if session.screen.json:
        session.screen.document(found)
        return
    session.screen.table(
        ("PERSON", "ISSUER", "SUBJECT", "LINKED", "BY"),
        [(one.person, one.issuer, one.subject, moment(one.linked), one.by) for one in found.rows],
        "no accounts; link one with `taskbound person account link`",
    )


@command(
    accounts,
    "unlink",
    asks=True,
    examples="taskbound person account unlink alice --issuer corp --subject 248289761001 --yes",
)
def unlink(session: Session, person: PersonArgument, issuer: IssuerOption, subject: SubjectOption) -> None:
    """Unlink an account and end its sessions; the person or the owner of the data directory may."""
    session.confirm(f"Unlink {shown(subject)} of {shown(issuer)}? Its browser sessions end.")
    session.ask(UnlinkAccount(person=person, issuer=issuer, subject=subject), Done)
    session.done(Done(), f"{shown(subject)} of {shown(issuer)} is {shown(person)} no more")


@command(sessions, "list", examples="taskbound person session list alice")
def list_sessions(session: Session, person: OfOption = "") -> None:
    """List the browser sessions."""
    found = session.ask(ListSessions(person=person), SessionRows)
    if session.screen.json:
        session.screen.document(found)
        return
    session.screen.table(
        ("SESSION", "PERSON", "ISSUER", "SUBJECT", "SINCE", "UNTIL"),
        [
            (one.session, one.person, one.issuer, one.subject, moment(one.began), moment(one.until))
            for one in found.rows
        ],
        "no browser sessions",
    )


@command(
    sessions,
    "end",
    asks=True,
    examples="taskbound person session end ses_2i7z5yqqe3l4mfq2n6bkq2y7d5xw4t3uha --yes",
)
def end(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="SESSION", help="As `list` shows it.", show_default=False)],
) -> None:
    """End a browser session; its person or the owner of the data directory may."""
    session.confirm(f"End {shown(name)}? The person has to sign in again in that browser.")
    session.ask(EndSession(session=name), Done)
    session.done(Done(), f"{shown(name)} has ended")

"""Accounts and browser sessions of persons, persons who leave, and who answers for agents."""

from __future__ import annotations

from typing import Annotated, Final

from taskbound.surfaces.cli.people.grants import PersonArgument as leaving_PersonArgument
from taskbound.surfaces.cli.people.identity import NameArgument, agents, people
from taskbound.surfaces.cli.screen import Table, moment, shown
from taskbound.surfaces.cli.session import Session, argument, command, group, option
from taskbound.wire import identity as wire
from taskbound.wire.connection import Done

accounts = group("account", "People's accounts at issuers, with which they sign in.")
sessions = group("session", "Who is signed in with a browser.")
people.add_typer(accounts)
people.add_typer(sessions)

PersonArgument = Annotated[str, argument("PERSON", "Whose it is.")]
IssuerOption = Annotated[str, option("--issuer", "The issuer's short name (`taskbound agent issuer list`).")]
SubjectOption = Annotated[str, option("--subject", "The `sub` that the issuer gives, to the letter.")]
OfOption = Annotated[str, argument("[PERSON]", "Theirs alone.")]


@command(
    accounts,
    "link",
    examples="taskbound person account link alice --issuer corp --subject 248289761001",
)
def link(session: Session, person: PersonArgument, issuer: IssuerOption, subject: SubjectOption) -> None:
    """Link an account at an issuer to a person; only the owner of the data directory may.

    Anyone who controls that account then acts as this person.
    """
    session.ask(wire.LinkAccount(person=person, issuer=issuer, subject=subject), Done)
    session.done(Done(), f"{shown(subject)} of {shown(issuer)} is {shown(person)}")


_ROWS: Final = Table[wire.AccountRow](
    ("PERSON", "ISSUER", "SUBJECT", "LINKED", "BY"),
    lambda one: (one.person, one.issuer, one.subject, moment(one.linked), one.by),
    "no accounts; link one with `taskbound person account link`",
)


@command(accounts, "list", examples="taskbound person account list alice")
def list_all(session: Session, person: OfOption = "") -> None:
    """List the accounts that are linked to persons."""
    _ROWS.print(session.screen, session.show(wire.ListAccounts(person=person), wire.AccountRows).rows)


@command(
    accounts,
    "unlink",
    asks=True,
    examples="taskbound person account unlink alice --issuer corp --subject 248289761001 --yes",
)
def unlink(session: Session, person: PersonArgument, issuer: IssuerOption, subject: SubjectOption) -> None:
    """Unlink an account and end its sessions; the person or the owner of the data directory may."""
    session.confirm(f"Unlink {shown(subject)} of {shown(issuer)}? Its browser sessions end.")
    session.ask(wire.UnlinkAccount(person=person, issuer=issuer, subject=subject), Done)
    session.done(Done(), f"{shown(subject)} of {shown(issuer)} is {shown(person)} no more")


_SESSIONS: Final = Table[wire.SessionRow](
    ("SESSION", "PERSON", "ISSUER", "SUBJECT", "SINCE", "UNTIL"),
    lambda one: (one.session, one.person, one.issuer, one.subject, moment(one.began), moment(one.until)),
    "no browser sessions",
)


@command(sessions, "list", examples="taskbound person session list alice")
def list_sessions(session: Session, person: OfOption = "") -> None:
    """List the browser sessions."""
    _SESSIONS.print(session.screen, session.show(wire.ListSessions(person=person), wire.SessionRows).rows)


@command(
    sessions,
    "end",
    asks=True,
    examples="taskbound person session end ses_2i7z5yqqe3l4mfq2n6bkq2y7d5xw4t3uha --yes",
)
def end(
    session: Session,
    name: Annotated[str, argument("SESSION", "As `list` shows it.")],
) -> None:
    """End a browser session; its person or the owner of the data directory may."""
    session.confirm(f"End {shown(name)}? The person has to sign in again in that browser.")
    session.ask(wire.EndSession(session=name), Done)
    session.done(Done(), f"{shown(name)} has ended")


OtherArgument = Annotated[str, argument("OTHER", "The other person's name.")]


@command(people, "gone", asks=True, examples="taskbound person gone bob --reason 'left the company'")
def gone(
    session: Session,
    name: leaving_PersonArgument,
    reason: Annotated[str, option("--reason", "Why; it is recorded.")] = "",
) -> None:
    """Record that a person has left: withdraw their keys, and stop what depends on them at once.

    Agents that they own, or whose only approver they are, are suspended; running tasks of those agents, and
    tasks that they requested, are paused. The agents' monitors are notified.
    """
    session.confirm(f"Has {shown(name)} left? Their keys are withdrawn for good.")
    session.act(wire.LeavePerson(name=name, reason=reason), f"{shown(name)} has left", patience=15.0)


@command(people, "back", examples="taskbound person back bob")
def back(session: Session, name: leaving_PersonArgument) -> None:
    """Record that a person is back, without keys and groups; only the owner of the data directory may."""
    session.act(wire.ReturnPerson(name=name), f"{shown(name)} is back")


@command(people, "link", examples="taskbound person link bob bob-admin")
def link_persons(session: Session, name: leaving_PersonArgument, other: OtherArgument) -> None:
    """Link two persons as one human, who counts once; only the owner of the data directory may."""
    ask = wire.LinkPersons(one=name, other=other, linked=True)
    session.act(ask, f"{shown(name)} and {shown(other)} are one human")


@command(people, "part", examples="taskbound person part bob robert")
def part(session: Session, name: leaving_PersonArgument, other: OtherArgument) -> None:
    """Undo the link between two persons; only the owner of the data directory may."""
    ask = wire.LinkPersons(one=name, other=other, linked=False)
    session.act(ask, f"{shown(name)} and {shown(other)} are two humans")


@command(agents, "people", examples="taskbound agent people helper --owner bob --approver carol")
def answering(
    session: Session,
    name: NameArgument,
    *,
    owner: Annotated[str, option("--owner", "The person who answers for it.")],
    approver: Annotated[list[str], option("--approver", "A person who may approve. Repeatable.")],
) -> None:
    """Set an agent's owner and approvers; its owner may, or the data directory's owner if that one left."""
    ask = wire.SetAnswering(name=name, owner=owner, approvers=tuple(approver))
    session.act(ask, f"{shown(owner)} answers for {shown(name)}")

"""`taskbound policy`: creates, proposes, shows, activates and replays bundles."""

from __future__ import annotations

import difflib
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import msgspec
import typer

import taskbound
from taskbound.core.policy import BASE_FILE, BadBundleError
from taskbound.surfaces.cli.policy.commands import app
from taskbound.surfaces.cli.policy.sources import (
    IN_FORCE,
    ask_bundle,
    is_digest,
    read_folder,
    read_rules,
    require_digest,
)
from taskbound.surfaces.cli.policy.trying import show_problems, try_cases
from taskbound.surfaces.cli.reading import BadInputError, FileError, read_file, write_file
from taskbound.surfaces.cli.screen import Words, moment, shown
from taskbound.surfaces.cli.session import Session, argument, command, option
from taskbound.wire import policy as wire
from taskbound.wire.connection import Done

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from taskbound.surfaces.cli.policy.sources import PolicyFolder


_FILES: Final = ("holds.cedar", "holds.cases.yaml", "tools.json")


def default_policies(package: Path | None = None) -> Path:
    package = package or Path(taskbound.__file__).parent
    for place in (package.parent.parent / "policies", package / "policies"):
        if (place / _FILES[0]).is_file():
            return place
    raise FileError("this installation has no default policies", remedy="install Taskbound again")


@command(app, "new", examples="taskbound policy new rules")
def new(
    session: Session,
    folder: Annotated[str, argument("FOLDER", "A folder to make.")],
) -> None:
    """Create a folder with the default policies, their cases, and the tools that they are about."""
    path = Path(folder)
    source = default_policies()
    try:
        path.mkdir(mode=0o700)
    except FileExistsError as error:
        raise BadInputError(f"`{shown(folder)}` is there already", remedy="name a new folder") from error
    except OSError as error:
        raise FileError(f"`{shown(folder)}` can't be made: {error.strerror or error}") from error
    for name in _FILES:
        write_file(str(path / name), [read_file(str(source / name))])
    session.done(
        Done(detail=folder), f"{shown(folder)} holds the default policies; try `taskbound policy test`"
    )


DigestArgument = Annotated[str, argument("DIGEST", "The bundle's digest, whole.")]
BundleArgument = Annotated[
    str, argument("BUNDLE", "A bundle's digest, whole, or `in-force`.", show_default=True)
]
ReasonOption = Annotated[str, option("--reason TEXT", "Why, for the record.")]


_PATIENCE: Final = 300.0
"""Seconds: many rules and tools take long to be looked at."""


class BundleDiff(msgspec.Struct, frozen=True, kw_only=True, tag="policy-diff", tag_field="is"):
    """The differences between two policy sets, file by file."""

    files: dict[str, tuple[str, ...]]
    """By name: the lines that differ, as `diff -u` writes them."""


@command(app, "propose", examples='taskbound policy propose rules --note "deletes need finance"')
def propose(
    session: Session,
    folder: Annotated[str, argument("FOLDER", "A folder of policies and their cases.")],
    note: Annotated[str, option("--note TEXT", "Why, for who looks at it.")] = "",
) -> None:
    """Store a folder's policies under your name, for another person to activate.

    Its own cases are tested first. Policies that don't fit the pinned tools are refused with all problems;
    the bundle in force stays.
    """
    found = read_folder(folder)
    texts = _cases(found)
    _require_cases(session, found)
    ask = wire.ProposeBundle(files=found.files, cases=texts, note=note)
    answer = session.ask(ask, wire.BundleAnswer, patience=_PATIENCE)
    _say(session, answer, "it is proposed; another person looks at it and puts it in force")


@command(app, "list", examples="taskbound policy list")
def list_bundles(session: Session) -> None:
    """List the bundles, newest first, and how the bundle in force was activated."""
    found = session.ask(wire.ListBundles(), wire.BundleRows)
    session.screen.report(found)
    session.screen.table(
        ("STATE", "AT", "AUTHOR", "BUNDLE"),
        [(one.state, moment(one.at), one.author, one.digest) for one in found.rows],
        "no bundle is proposed: the rules that come with Taskbound are in force alone",
    )
    session.screen.fields(
        [
            ("in force", _named(found.in_force, found.base)),
            ("since", tuple(map(_activation, found.activations))),
        ]
    )
    if found.trouble:
        session.screen.note(f"nothing is decided: {shown(Words(found.trouble))}", "red")


@command(app, "show", examples="taskbound policy show in-force")
def show(session: Session, bundle: BundleArgument = IN_FORCE) -> None:
    """Show a bundle: its author and signature, who activated it, and its files."""
    found = ask_bundle(session, bundle)
    session.screen.report(found)
    row = found.row
    session.screen.heading(row.digest)
    session.screen.fields(
        [
            ("state", row.state),
            ("author", row.author or "none: it comes with Taskbound"),
            ("proposed", moment(row.at)),
            ("note", row.note or "-"),
            ("signature", _signature(found)),
            ("in force", tuple(map(_activation, found.activations))),
        ]
    )
    texts = (*found.files.items(), *found.cases.items())
    session.screen.fields([(shown(name), text.splitlines()) for name, text in texts])


@command(app, "diff", examples="taskbound policy diff rules\ntaskbound policy diff in-force rules")
def diff(
    session: Session,
    rules: Annotated[str, argument("RULES", "A folder, `in-force`, or a bundle's digest.")],
    other: Annotated[
        str, argument("OTHER", "The same; when left out, what is in force is compared with RULES.")
    ] = "",
) -> None:
    """Show the line differences between two policy sets; the status is 1 if there are any."""
    before, after = (rules, other) if other else (IN_FORCE, rules)
    old, new = _texts(read_rules(session, before)), _texts(read_rules(session, after))
    found = {name: lines for name in sorted({*old, *new}) if (lines := tuple(_changed(name, old, new)))}
    session.screen.report(BundleDiff(files=found))
    session.screen.fields([(shown(name), lines) for name, lines in found.items()])
    if not found:
        session.screen.line("they are the same")
    if found:
        raise typer.Exit(1)


@command(app, "activate", examples="taskbound policy activate DIGEST")
def activate(session: Session, digest: DigestArgument) -> None:
    """Put a bundle in force, starting with the next decision.

    If there are two persons, its author may not activate it. It is validated again for the tools pinned now.
    """
    answer = session.ask(
        wire.ActivateBundle(digest=require_digest(digest)), wire.BundleAnswer, patience=_PATIENCE
    )
    _say(session, answer, "it is in force")


@command(
    app,
    "rollback",
    examples="taskbound policy rollback\ntaskbound policy rollback base --reason 'too strict'",
)
def rollback(
    session: Session,
    digest: Annotated[
        str, argument("DIGEST", "A bundle that was in force, or `base`; the one before when left out.")
    ] = "",
    reason: ReasonOption = "",
) -> None:
    """Return to a bundle that was in force before, even if the bundle in force is damaged."""
    told = None if not digest else "" if digest == "base" else require_digest(digest)
    session.act(wire.RollBackBundle(digest=told, reason=reason), "it is in force again")


@command(app, "replay", examples="taskbound policy replay rules --last 500")
def replay(
    session: Session,
    rules: Annotated[
        str, argument("RULES", "A folder, `in-force`, or a bundle's digest.", show_default=True)
    ] = IN_FORCE,
    last: Annotated[int, option("--last N", "How many of the newest actions.")] = 1000,
) -> None:
    """Show which of the newest recorded actions these policies would have decided otherwise.

    Each is evaluated with its recorded facts. Actions that can't be replayed are counted by reason.
    """
    kept = rules == IN_FORCE or is_digest(rules)
    files = {} if kept else read_folder(rules).files
    digest = "" if rules == IN_FORCE or not kept else rules
    ask = wire.ReplayBundle(last=last, digest=digest, files=files)
    found = session.ask(ask, wire.Replayed, patience=_PATIENCE)
    if found.problems:
        _refuse(session, wire.BundleAnswer(digest=found.bundle, problems=found.problems))
    session.screen.report(found)
    for one in found.differences:
        session.screen.heading(shown(one.action))
        session.screen.fields(
            [
                ("tool", one.tool),
                ("agent", one.agent),
                ("was", one.was),
                ("would be", one.would),
                ("facts", one.facts),
            ]
        )
    session.screen.fields(
        [
            ("replayed", found.asked),
            ("other answers", len(found.differences)),
            ("the same", found.same),
            ("not by policy", found.beside),
            ("not replayed", tuple(f"{count}: {why}" for why, count in found.not_asked)),
        ]
    )


def _say(session: Session, answer: wire.BundleAnswer, sentence: str) -> None:
    if answer.problems:
        _refuse(session, answer)
    elif session.screen.json:
        session.screen.document(answer)
    else:
        session.screen.line(f"{sentence}: {answer.digest}")


def _refuse(session: Session, answer: wire.BundleAnswer) -> NoReturn:
    session.screen.report(answer)
    show_problems(session.screen, answer.problems)
    session.screen.hint("it is refused, and what is in force stays", "red")
    raise typer.Exit(1)


def _require_cases(session: Session, found: PolicyFolder) -> None:
    if not found.cases:
        return
    missed = [one for one in try_cases(session, found, "").results if not one.passed]
    if missed:
        first = missed[0]
        raise BadBundleError(
            f"{len(missed)} of its cases are answered otherwise, such as `{shown(first.name)}`",
            where=f"{first.file}:{first.line}:{first.column}",
            remedy="see all of them with `taskbound policy test`",
        )


def _cases(found: PolicyFolder) -> dict[str, str]:
    texts: dict[str, str] = {}
    for name, raw in found.cases.items():
        try:
            texts[name] = raw.decode()
        except UnicodeDecodeError as error:
            raise BadBundleError(f"`{shown(name)}` is not UTF-8: byte {error.start}", where=name) from error
    return texts


def _texts(found: PolicyFolder) -> dict[str, str]:
    return {name: text for name, text in (*found.files.items(), *_cases(found).items()) if name != BASE_FILE}


def _changed(name: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    before, after = old.get(name, "").splitlines(), new.get(name, "").splitlines()
    lines = difflib.unified_diff(before, after, lineterm="")
    return islice(lines, 2, None)  # its heads name no file of ours


def _signature(found: wire.BundleDetail) -> str:
    if not found.row.author:
        return "none: it comes with Taskbound"
    if found.covered:
        return f"record {found.record} of the log, under a signed checkpoint"
    return "its author's record has no checkpoint over it yet"


def _named(digest: str, base: str) -> str:
    return f"{digest} (the base alone)" if digest == base else digest


def _activation(one: wire.ActivationRow) -> str:
    alone = ", its author, alone" if one.alone else ""
    return f"{moment(one.at)} {one.how} by {one.by}{alone}: {one.digest or 'the base alone'}"

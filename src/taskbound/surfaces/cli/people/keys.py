"""`taskbound person key`: persons' signing keys. No command answers for a person without a signature."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from taskbound.surfaces.cli.approval.signing import find_key, require_enrollment, sign_statement
from taskbound.surfaces.cli.people.identity import people
from taskbound.surfaces.cli.reading import BadInputError, read_file, write_file
from taskbound.surfaces.cli.screen import Table, Words, moment, shown
from taskbound.surfaces.cli.session import Session, argument, command, group, option
from taskbound.wire import identity as wire
from taskbound.wire.openssh import parse_public_line

if TYPE_CHECKING:
    from taskbound.wire.envelope import Ask


keys = group("key", "Keys that people sign with: approvals are signatures, and nothing else is.")
demos = group("demo", "Namespaces for trying out, where keys need no protection.")
for _one in (keys, demos):
    people.add_typer(_one)

_DEMO = "this namespace is for trying out (demo): its keys need no protection and no cooling"

KeyArgument = Annotated[str, argument("KEY", "The key's id.")]
SignatureOption = Annotated[
    str, option("--signature FILE", "A signature that was made elsewhere; `-` reads it.")
]

PasskeyOption = Annotated[bool, option("--passkey", "With your passkey, on a page.")]


@command(
    keys,
    "add",
    examples="taskbound person key add ~/.ssh/id_ed25519_sk\n"
    "taskbound person key add bob.pub --person bob --elsewhere\n"
    "taskbound person key add --passkey --label phone",
)
def add(
    session: Session,
    file: Annotated[str, argument("[FILE]", "An OpenSSH key; its `.pub` where an agent holds it.")] = "",
    *,
    person: Annotated[str, option("--person", "Whose key it is; else yours.")] = "",
    elsewhere: Annotated[
        bool, option("--elsewhere", "Only propose it: its holder signs on another machine.")
    ] = False,
    passkey: Annotated[
        bool, option("--passkey", "Make a passkey instead, on a page in your browser.")
    ] = False,
    label: Annotated[str, option("--label", "What you call the passkey.")] = "",
) -> None:
    """Propose a key, and prove with a signature that you hold it.

    The first key counts at once. Each later key needs a signature by an enrolled key, and counts after a day.
    A key file without a passphrase is refused.
    """
    if bool(file) is passkey or (passkey and elsewhere) or (label and not passkey):
        raise BadInputError("say one of `FILE` and `--passkey`; `--label` goes with the second alone")
    name = person or _own_name(session)
    if passkey:
        ask_page(session, wire.OpenEnrollment(person=name, label=label, network=own_network()))
        return
    line, seen = find_key(file)
    found = session.ask(wire.ProposePersonKey(person=name, public=line, file=seen), wire.PersonKeyDetail)
    if not elsewhere:
        require_enrollment(found.statement, parse_public_line(line).fingerprint)
        signature = sign_statement(session.screen, file, found.statement)
        found = session.ask(wire.ProvePersonKey(key=found.row.key, signature=signature), wire.PersonKeyDetail)
    _tell(session, found)


@command(keys, "prove", examples="taskbound person key prove key_01ab --signature statement.sig")
def prove(session: Session, key: KeyArgument, *, signature: SignatureOption) -> None:
    """Submit a proposed key's signature that was made elsewhere."""
    found = session.ask(wire.ProvePersonKey(key=key, signature=_read(signature)), wire.PersonKeyDetail)
    _tell(session, found)


@command(keys, "confirm", examples="taskbound person key confirm key_01ab SHA256:…")
def confirm(
    session: Session,
    key: KeyArgument,
    fingerprint: Annotated[str, argument("FINGERPRINT", "As its page shows it.")],
) -> None:
    """Confirm that a passkey made on a page is yours, by the fingerprint that the page shows.

    If you saw no page with that key, another person had the address: withdraw the key.
    """
    _tell(session, session.ask(wire.ConfirmPersonKey(key=key, fingerprint=fingerprint), wire.PersonKeyDetail))


@command(
    keys,
    "vouch",
    examples="taskbound person key vouch key_01ab --with ~/.ssh/id_ed25519_sk\n"
    "taskbound person key vouch key_01ab --by key_02cd --signature statement.sig\n"
    "taskbound person key vouch key_01ab --passkey\n"
    "taskbound person key vouch key_01ab --as-owner",
)
def vouch(
    session: Session,
    key: KeyArgument,
    *,
    with_: Annotated[str, option("--with FILE", "Your own key's file.")] = "",
    by: Annotated[str, option("--by KEY", "The key that signed elsewhere, or which passkey.")] = "",
    signature: SignatureOption = "",
    passkey: PasskeyOption = False,
    as_owner: Annotated[
        bool, option("--as-owner", "As the data directory's owner, where no key counts any more.")
    ] = False,
) -> None:
    """Vouch with your key that another key is its person's. Ask them before: by voice, not by mail."""
    if bool(with_) + bool(by and signature) + passkey + as_owner != 1:
        raise BadInputError(
            "say one of `--with FILE`, `--by KEY --signature FILE`, `--passkey` and `--as-owner`"
        )
    if passkey:
        ask_page(session, wire.OpenVouching(key=key, voucher=by, network=own_network()))
        return
    if as_owner:
        ask = wire.VouchPersonKey(key=key)
    elif by:
        ask = wire.VouchPersonKey(key=key, voucher=by, signature=_read(signature))
    else:
        own = own_key(session, with_)
        found = session.ask(wire.ShowPersonKey(key=key), wire.PersonKeyDetail)
        require_enrollment(found.statement, found.row.fingerprint)
        signed = sign_statement(session.screen, with_, found.statement)
        ask = wire.VouchPersonKey(key=key, voucher=own.key, signature=signed)
    _tell(session, session.ask(ask, wire.PersonKeyDetail))


_KEYS: Final = Table[wire.PersonKeyRow](
    ("KEY", "PERSON", "STATE", "COUNTS", "PRIVATE HALF", "FINGERPRINT"),
    lambda one: (
        one.key,
        one.person,
        one.state,
        "yes" if one.counts else Words(_since(one)),
        one.custody if one.kind == "openssh" else f"{one.custody} ({one.kind})",
        one.fingerprint,
    ),
    "no keys; start with `taskbound person key add`",
)


@command(keys, "list", examples="taskbound person key list --json")
def list_keys(session: Session) -> None:
    """List the keys, how they are protected, and whether they count now."""
    found = session.show(wire.ListPersonKeys(), wire.PersonKeyRows)
    _KEYS.print(session.screen, found.rows)
    if found.demo:
        session.screen.hint(_DEMO, "yellow")


@command(keys, "show", examples="taskbound person key show key_01ab --statement statement")
def show(
    session: Session,
    key: KeyArgument,
    *,
    statement: Annotated[
        str, option("--statement FILE", "Write what has to be signed, to the byte; `-` too.")
    ] = "",
) -> None:
    """Show one key, and the statement to sign before it counts."""
    found = session.ask(wire.ShowPersonKey(key=key), wire.PersonKeyDetail)
    if statement:
        write_file(statement, [found.statement.encode()])
    if statement != "-":
        _tell(session, found)


@command(keys, "withdraw", asks=True, examples="taskbound person key withdraw key_01ab --reason 'lost it'")
def withdraw(
    session: Session,
    key: KeyArgument,
    reason: Annotated[str, option("--reason", "Why; it is recorded.")] = "",
) -> None:
    """Withdraw a key at once and for good; its unused approvals no longer count."""
    session.confirm(f"Withdraw {shown(key)} for good?")
    session.act(wire.WithdrawPersonKey(key=key, reason=reason), f"{shown(key)} is withdrawn")


@command(demos, "begin", examples="taskbound person demo begin --namespace trial")
def begin_demo(session: Session) -> None:
    """Mark a namespace as a demo: its keys need no protection and no waiting time.

    Only the owner of the data directory may, and only for a namespace that never had a key.
    """
    session.act(wire.SetDemo(demo=True), f"{shown(session.namespace)} is for trying out")


@command(demos, "end", asks=True, examples="taskbound person demo end --namespace trial")
def end_demo(session: Session) -> None:
    """End a namespace's demo: all its keys are withdrawn for good."""
    session.confirm(f"End the demo of namespace {shown(session.namespace)}, and withdraw all its keys?")
    session.act(wire.SetDemo(demo=False), f"{shown(session.namespace)} is no demo")


def own_network() -> str:
    try:
        return str(Path("/proc/self/ns/net").readlink())
    except OSError:
        return ""


def ask_page(session: Session, ask: Ask) -> None:
    page = session.show(ask, wire.PageOpened)
    words = f"opens this in a browser on this machine; it works once, for {page.seconds // 60} minutes:"
    session.screen.hint(f"{shown(page.person)} {words}", "")
    session.screen.word(page.address)


def own_key(session: Session, file: str) -> wire.PersonKeyRow:
    line, _ = find_key(file)
    fingerprint = parse_public_line(line).fingerprint
    for one in session.ask(wire.ListPersonKeys(), wire.PersonKeyRows).rows:
        if one.fingerprint == fingerprint and one.state == "enrolled":
            return one
    raise BadInputError(
        f"`{shown(file)}` ({fingerprint}) is not enrolled", remedy="see `taskbound person key list`"
    )


def _own_name(session: Session) -> str:
    for one in session.ask(wire.ListPersons(), wire.PersonRows).rows:
        if one.uid == os.getuid():
            return one.name
    raise BadInputError(
        "your account is not a person's here",
        remedy="add yourself with `taskbound person add NAME`, or say whose key it is with `--person`",
    )


def _read(name: str) -> str:
    return read_file(name, largest=8192).decode("utf-8", errors="replace")


def _since(one: wire.PersonKeyRow) -> str:
    return f"from {moment(one.usable_from)}" if one.state == "enrolled" and "lately" in one.why_not else "no"


def _tell(session: Session, found: wire.PersonKeyDetail) -> None:
    row, screen = found.row, session.screen
    screen.report(found)
    screen.heading(shown(row.key))
    screen.fields(
        [
            ("person", row.person),
            ("kind", row.kind),
            ("fingerprint", row.fingerprint),
            ("label", row.label),
            ("private half", row.custody),
            ("state", row.state),
            ("vouched by", row.enrolled_by or "-"),
            ("counts", "now" if row.counts else Words(row.why_not)),
        ]
    )
    if row.state == "enrolled" and not row.counts and row.usable_from:
        screen.hint(f"it counts from {moment(row.usable_from)}")
    if row.state in {"proposed", "proven"}:
        screen.line("To be signed:")
        for line in found.statement.splitlines():
            screen.line(f"  {shown(line)}")
        screen.hint(_next(found))
    if found.demo:
        screen.hint(_DEMO, "yellow")


def _next(found: wire.PersonKeyDetail) -> str:
    key = shown(found.row.key)
    if found.row.state == "proposed" and found.row.kind == "passkey":
        return (
            "next: its page; where that is over, `taskbound person key add --passkey` makes another passkey"
        )
    if found.row.state == "proposed":
        return (
            f"next: `taskbound person key show {key} --statement FILE` writes it, its holder signs it with"
            " `ssh-keygen -Y sign -n taskbound-approval -f KEYFILE FILE`, and"
            f" `taskbound person key prove {key} --signature FILE.sig` brings it"
        )
    if found.vouching == "owner":
        return f"next: the data directory's owner runs `taskbound person key vouch {key} --as-owner`"
    names = ", ".join(shown(one) for one in found.can)
    return f"next: {names} runs `taskbound person key vouch {key} --with FILE`, or `--passkey`"


def person_of(session: Session, key: str) -> str:
    rows = session.ask(wire.ListPersonKeys(), wire.PersonKeyRows).rows
    person = next((one.person for one in rows if one.key == key), "")
    if not person:
        raise BadInputError(f"no key is named `{shown(key)}`", remedy="see `taskbound person key list`")
    return person

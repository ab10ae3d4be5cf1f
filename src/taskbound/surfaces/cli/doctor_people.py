"""Findings about persons: grants, keys and sign-in. How a private key is protected was seen at enrollment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.surfaces.cli.screen import shown
from taskbound.wire.identity import (
    GroupRows,
    ListGroups,
    ListPersonKeys,
    ListPersons,
    PersonKeyRows,
    PersonRows,
)
from taskbound.wire.workload import IdentityIssuerRows, ListIdentityIssuers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.sdk.client import Client


_WAITS: Final = 60.0
"""Seconds that the daemon may take to ask issuers."""

_KEPT: Final = {
    "hardware": (
        "ok",
        "is in a device that asks for a touch; that it is one is said by its kind, and not attested",
        "",
    ),
    "passphrase": (
        "warn",
        "had a passphrase; a program of the same account can still see it typed, or ask an ssh-agent",
        "use one in hardware (`ssh-keygen -t ed25519-sk`), or load it with `ssh-add -c`",
    ),
    "synced": (
        "warn",
        "is a passkey that its provider copies between devices: an attacker in that account can sign",
        "use one that stays in its device, such as a security key",
    ),
    "unseen": (
        "warn",
        "was never seen: any program that can use the agent or the file that holds it can sign",
        "use one in hardware (`ssh-keygen -t ed25519-sk`)",
    ),
    "bare": (
        "bad",
        "has no passphrase: any program that can read its file can sign",
        "enroll another one, and withdraw this with `taskbound person key withdraw`",
    ),
}


def look_at_people(client: Client) -> Iterator[tuple[str, str, str, str]]:
    """Yield findings about persons, their keys and issuers."""
    persons = [one for one in client.ask(ListPersons(), PersonRows).rows if one.state == "present"]
    groups = {one.name for one in client.ask(ListGroups(), GroupRows).rows if one.grantable != "nothing"}
    able = [one for one in persons if one.grantable != "nothing" or groups.intersection(one.groups)]
    if not persons:
        return
    names = ", ".join(f"`{shown(one.name)}`" for one in able)
    if able:
        yield "ok", "grantable", f"{len(able)} of {len(persons)} people may grant something: {names}", ""
    else:
        yield (
            "warn",
            "grantable",
            "no person may grant anything, so no task starts",
            "say who may what with `taskbound person grantable`",
        )
    yield from _keys(client.ask(ListPersonKeys(), PersonKeyRows))
    yield from _issuers(client)


def _keys(found: PersonKeyRows) -> Iterator[tuple[str, str, str, str]]:
    if found.demo:
        yield (
            "warn",
            "demo",
            "this namespace is for trying out (demo): its keys need no protection and no cooling",
            "end it with `taskbound person demo end`, or work in another namespace",
        )
    signing = sorted({shown(one.person) for one in found.rows if one.counts})
    yield (
        ("ok", "signing", f"{len(signing)} people can sign: {', '.join(signing)}", "")
        if signing
        else (
            "warn",
            "signing",
            "no person can sign, so nothing that needs an approval is permitted",
            "enroll a key with `taskbound person key add`",
        )
    )
    for one in found.rows:
        if one.state != "enrolled":
            continue
        level, words, advice = _KEPT[one.custody]
        level = "warn" if found.demo and level == "bad" else level
        yield (
            level,
            f"key-{one.custody}",
            f"key {shown(one.fingerprint)} of {shown(one.person)} {words}",
            advice,
        )


def _issuers(client: Client) -> Iterator[tuple[str, str, str, str]]:
    found = client.ask(ListIdentityIssuers(), IdentityIssuerRows).rows
    if not any(one.use == "people" for one in found):
        return
    looked = client.ask(ListIdentityIssuers(look=True), IdentityIssuerRows, patience=_WAITS).rows
    for one in (each for each in looked if each.use == "people"):
        if one.trouble:
            yield (
                "bad",
                "sign-in",
                f"no person can sign in at {shown(one.name)} now: {shown(one.trouble)}",
                "mend that, or see docs/guides/sign-in.md",
            )
        else:
            proven = "a client secret" if one.secret_file else "PKCE alone"
            yield "ok", "sign-in", f"people sign in at {shown(one.name)}, with {proven}", ""

"""Findings about persons, tokens and trust domains."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from taskbound.core.clock import days, hours
from taskbound.core.token.values import LONGEST
from taskbound.surfaces.cli.screen import moment, shown
from taskbound.wire import identity as wire
from taskbound.wire.authorization import AdmissionRow, AdmissionRows, ListAdmissions
from taskbound.wire.token import ListTokenKeys, TokenKeyRow, TokenKeyRows
from taskbound.wire.workload import IdentityIssuerRows, ListIdentityIssuers, ListTrusts, TrustRows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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
    persons = [one for one in client.ask(wire.ListPersons(), wire.PersonRows).rows if one.state == "present"]
    groups = {
        one.name for one in client.ask(wire.ListGroups(), wire.GroupRows).rows if one.grantable != "nothing"
    }
    able = [one for one in persons if one.grantable != "nothing" or groups.intersection(one.groups)]
    if not persons:
        return
    names = ", ".join(f"`{shown(one.name)}`" for one in able)
    if able:
        yield "ok", "grantable", f"{len(able)} of {len(persons)} people may grant something: {names}", ""
    else:
        text = "no person may grant anything, so no task starts"
        yield "warn", "grantable", text, "say who may what with `taskbound person grantable`"
    yield from _keys(client.ask(wire.ListPersonKeys(), wire.PersonKeyRows))
    yield from _issuers(client)


def _keys(found: wire.PersonKeyRows) -> Iterator[tuple[str, str, str, str]]:
    if found.demo:
        text = "this namespace is for trying out (demo): its keys need no protection and no cooling"
        yield "warn", "demo", text, "end it with `taskbound person demo end`, or work in another namespace"
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
        text = f"key {shown(one.fingerprint)} of {shown(one.person)} {words}"
        yield level, f"key-{one.custody}", text, advice


def _issuers(client: Client) -> Iterator[tuple[str, str, str, str]]:
    found = client.ask(ListIdentityIssuers(), IdentityIssuerRows).rows
    if not any(one.use == "people" for one in found):
        return
    looked = client.ask(ListIdentityIssuers(look=True), IdentityIssuerRows, patience=_WAITS).rows
    for one in (each for each in looked if each.use == "people"):
        if one.trouble:
            text = f"no person can sign in at {shown(one.name)} now: {shown(one.trouble)}"
            yield "bad", "sign-in", text, "mend that, or see docs/guides/sign-in.md"
        else:
            proven = "a client secret" if one.secret_file else "PKCE alone"
            yield "ok", "sign-in", f"people sign in at {shown(one.name)}, with {proven}", ""


_PAGE: Final = 200
_DOCTOR_TOKENS_WAITS: Final = 30.0
"""Seconds that the signer of tokens may take, whose key is looked at for the first time."""
_OLD: Final = days(2)
"""A key signs for a day; one that is twice as old was not rotated when it should have been."""


def look_at_token_keys(client: Client, now: int) -> Iterator[tuple[str, str, str, str]]:
    found = client.ask(ListTokenKeys(look=True), TokenKeyRows, patience=_DOCTOR_TOKENS_WAITS)
    yield from tell_trouble(found)
    yield from tell_token_keys(found.rows, now)


def tell_trouble(found: TokenKeyRows) -> Iterator[tuple[str, str, str, str]]:
    """Yield why no token can be signed now; bad only if tokens were signed before."""
    if found.trouble:
        text = f"no token can be signed: {found.trouble}"
        yield "bad" if found.rows else "warn", "token-signer", text, found.advice


def tell_token_keys(rows: Sequence[TokenKeyRow], now: int) -> Iterator[tuple[str, str, str, str]]:
    """`now` is in microseconds since the epoch."""
    if not rows:
        return
    states = {one.state: one for one in rows}
    current = states.get("current")
    if current is None:
        yield "bad", "token-key", "no key signs tokens", "see `taskbound token key list`, and rotate"
        return
    age = now - (current.used or current.made)
    text = f"the key that signs tokens has done so for {max(age, 0) // hours(1)} hours"
    if age > _OLD:
        yield "warn", "token-key", text, "see the signer's log, or `taskbound token key rotate`"
    elif "next" not in states:
        yield "warn", "token-key", f"{text}, and none is ready to follow it", "see the signer's log"
    else:
        yield "ok", "token-key", f"{text}; the next one is ready", ""


def look_at_stolen(client: Client, fronts: Sequence[str]) -> Iterator[tuple[str, str, str, str]]:
    admissions: list[AdmissionRow] = []
    page = client.ask(ListAdmissions(limit=_PAGE), AdmissionRows)
    admissions += page.rows
    while page.more and page.rows:
        page = client.ask(ListAdmissions(limit=_PAGE, before=page.rows[-1].admission), AdmissionRows)
        admissions += page.rows
    return tell_stolen(fronts, admissions)


def tell_stolen(
    fronts: Sequence[str], admissions: Sequence[AdmissionRow]
) -> Iterator[tuple[str, str, str, str]]:
    loose = [one for one in admissions if one.state == "stands" and not one.bound]
    for origin in fronts:
        clients = f"{len(loose)} of its clients have none" if loose else "none of its clients has none"
        text = f"`{shown(origin)}` takes tokens of tasks; one without its key is worth nothing, and {clients}"
        yield "ok", "front", text, ""
    for one in loose:
        text = (
            f"client `{shown(one.client)}` proved no key: a thief of its token can use"
            f" `{shown(one.resource)}` alone, within task `{shown(one.task)}` and its grants, for"
            f" {LONGEST // 60} minutes at most; with its refresh token until {moment(one.until)}, or until"
            " both have used it"
        )
        name = shown(one.admission)
        advice = f"end it with `taskbound token admission end {name}`, or use a client that has a DPoP key"
        yield "warn", "bearer-tokens", text, advice


_SECOND: Final = 1_000_000


def look_at_trusts(client: Client) -> Iterator[tuple[str, str, str, str]]:
    """Yield findings about every trust domain."""
    for one in client.ask(ListTrusts(), TrustRows).rows:
        age = max(0, time.time_ns() // 1000 - one.confirmed) // _SECOND
        fresh = f"confirmed {age} s ago" if one.confirmed else "never confirmed"
        text = (
            f"trust domain {shown(one.domain)}, from {one.source} {shown(one.place)}: {fresh}, of at most"
            f" {one.bound} s; sequence {one.sequence}; {one.x509} authorities for X.509-SVIDs, {one.jwt} for"
            " JWT-SVIDs"
        )
        if one.trouble:
            text += f"; its source does not answer: {shown(one.trouble)}"
        if one.stale:
            advice = "mend its source; until then no workload of it is proven"
            yield "bad", "trust", f"{text}; it is stale, and nothing of it counts", advice
        elif not one.x509 + one.jwt:
            text = f"{text}; nothing of it counts"
            yield "warn", "trust", text, "ask its operator whether it was withdrawn"
        elif one.trouble:
            yield "warn", "trust", text, "mend its source before the bundle is stale"
        else:
            yield "ok", "trust", text, ""

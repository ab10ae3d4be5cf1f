"""What `taskbound doctor` says of tokens: how old their keys are, and what a stolen one could do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.clock import days, hours
from taskbound.core.token.values import LONGEST
from taskbound.surfaces.cli.screen import moment, shown
from taskbound.wire.authorization import AdmissionRow, AdmissionRows, ListAdmissions
from taskbound.wire.token import ListTokenKeys, TokenKeyRow, TokenKeyRows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskbound.sdk.client import Client


_PAGE: Final = 200
_WAITS: Final = 30.0
"""Seconds that the signer of tokens may take, whose key is looked at for the first time."""
_OLD: Final = days(2)
"""A key signs for a day; one that is twice as old was not rotated when it should have been."""


def look_at_token_keys(client: Client, now: int) -> Iterator[tuple[str, str, str, str]]:
    """Level, name, text and advice of what was found; of keys nothing where no token was ever asked for."""
    found = client.ask(ListTokenKeys(look=True), TokenKeyRows, patience=_WAITS)
    yield from tell_trouble(found)
    yield from tell_token_keys(found.rows, now)


def tell_trouble(found: TokenKeyRows) -> Iterator[tuple[str, str, str, str]]:
    """Why no token can be signed now: bad only where some were."""
    if found.trouble:
        text = f"no token can be signed: {found.trouble}"
        yield "bad" if found.rows else "warn", "token-signer", text, found.advice


def tell_token_keys(rows: Sequence[TokenKeyRow], now: int) -> Iterator[tuple[str, str, str, str]]:
    """The same of these keys, at an instant in microseconds since the epoch."""
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
        yield (
            "warn",
            "token-key",
            text,
            "see the signer's log, or `taskbound token key rotate`",
        )
    elif "next" not in states:
        yield "warn", "token-key", f"{text}, and none is ready to follow it", "see the signer's log"
    else:
        yield "ok", "token-key", f"{text}; the next one is ready", ""


def look_at_stolen(client: Client, fronts: Sequence[str]) -> Iterator[tuple[str, str, str, str]]:
    """What a stolen token could do: at each front that runs, and of each client that has no key.

    Args:
        client: The daemon.
        fronts: How each gateway over HTTP is known outside.
    """
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
    """The same of these."""
    loose = [one for one in admissions if one.state == "stands" and not one.bound]
    for origin in fronts:
        clients = f"{len(loose)} of its clients have none" if loose else "none of its clients has none"
        text = f"`{shown(origin)}` takes tokens of tasks; one without its key is worth nothing, and {clients}"
        yield "ok", "front", text, ""
    for one in loose:
        text = (
            f"client `{shown(one.client)}` proved no key: whoever steals a token of it can use"
            f" `{shown(one.resource)}` alone, within task `{shown(one.task)}` and its grants, for"
            f" {LONGEST // 60} minutes at most; with its refresh token until {moment(one.until)}, or until"
            " both have used it"
        )
        name = shown(one.admission)
        advice = f"end it with `taskbound token admission end {name}`, or use a client that has a DPoP key"
        yield "warn", "bearer-tokens", text, advice

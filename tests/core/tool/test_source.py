"""What fills a slot in place of a sealed value, how it is written, and what is pinned with it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.core.errors import MalformedError
from taskbound.core.tool import BadSlotError, ServerIdentity, Slot, Source, parse_slot, parse_source
from taskbound.core.tool.identity import Remote

READER = "credential:orders-db/reader#PGPASSWORD"
STARTED: dict[str, Any] = {"namespace": "default", "command": "/a", "resolved": "/a", "sha256": "1" * 64}
PLAIN = "3b44fd2f2703c19900f9e65cc534f1bfefbc8e6f9520d7b700adeb82c731056f"
REACHED: dict[str, Any] = {
    "namespace": "default",
    "remote": Remote(url="https://mcp.example.com/", era="2025-11-25"),
}


def slots(*texts: str) -> tuple[Slot, ...]:
    return tuple(sorted(map(parse_slot, texts), key=lambda one: one.text))


@pytest.mark.parametrize(
    "text",
    [
        f"environment:PGPASSWORD={READER}",
        "environment:PGUSER=credential:orders-db/reader?seconds=600&tenant=acme%20%26%20co#PGUSER",
        "header:authorization=Bearer credential:github/issues#TOKEN",
        f"query:key={READER}",
        f"argument:pay.now/api-key={READER}",
    ],
)
def test_a_slot_is_written_as_it_was_read_with_what_fills_it(text: str) -> None:
    assert parse_slot(text).text == text


@pytest.mark.parametrize(
    "text",
    [
        "environment:A=",
        "environment:A=secret",
        "environment:A=credential:",
        "environment:A=credential:orders-db#A",
        "environment:A=credential:orders-db/#A",
        "environment:A=credential:orders-db/reader",
        "environment:A=credential:orders-db/reader#",
        "environment:A=credential:orders-db/reader#A#B",
        "environment:A=credential:orders-db/reader?#A",
        "environment:A=credential:orders-db/reader?tenant#A",
        "environment:A=credential:orders-db/reader?tenant=#A",
        "environment:A=credential:orders-db/reader?tenant=%ff#A",
        "environment:A=credential:orders-db/reader?tenant=%41#A",
        "environment:A=credential:orders-db/reader?tenant=a%2fb#A",
        "environment:A=credential:orders-db/reader?b=1&a=1#A",
        "environment:A=credential:orders-db/reader?a=1&a=2#A",
        "environment:A=credential:orders-db/reader?renews=crd_1#A",
        "environment:A=credential:orders-db/reader?seconds=0#A",
        "environment:A=credential:orders-db/reader?seconds=1.5#A",
        "environment:A=credential:orders-db/Reader#A",
        "environment:A=credential:Orders/reader#A",
        "environment:A=credential:a__b/reader#A",
        f"environment:A=Bearer {READER}",
        f"environment:PATH={READER}",
        f"header:authorization=Bearer  {READER}",
        f"header:authorization=Bearer{READER}",
        f"header:authorization=Be arer {READER}",
        f"oauth:client-secret={READER}",
        f"admin:access={READER}",
    ],
)
def test_what_is_written_otherwise_fills_no_slot(text: str) -> None:
    with pytest.raises(MalformedError):
        parse_slot(text)


def test_one_credential_fills_all_slots_that_differ_in_the_name_alone() -> None:
    user, password, other = (
        parse_source(f"credential:orders-db/reader?tenant={tenant}#{name}")
        for tenant, name in (("acme", "PGUSER"), ("acme", "PGPASSWORD"), ("other", "PGPASSWORD"))
    )
    assert user.credential == password.credential
    assert other.credential != password.credential
    assert (user.tool, user.given, user.seconds) == ("orders-db__credential/reader", {"tenant": "acme"}, 0)
    assert parse_source("credential:a/b?seconds=60#C").seconds == 60


def test_an_identity_without_such_a_slot_has_the_digest_that_it_had() -> None:
    assert ServerIdentity(**STARTED).digest == PLAIN


def test_what_fills_a_slot_is_part_of_the_identity() -> None:
    places = (
        "environment:PGPASSWORD",
        f"environment:PGPASSWORD={READER}",
        "environment:PGPASSWORD=credential:orders-db/writer#PGPASSWORD",
        "environment:PGPASSWORD=credential:orders-db/reader?tenant=acme#PGPASSWORD",
        "environment:PGPASSWORD=credential:orders-db/reader#PGUSER",
    )
    digests = {ServerIdentity(**STARTED, slots=slots(one)).digest for one in places}
    assert len(digests | {PLAIN}) == len(places) + 1


def test_a_place_is_filled_by_one_thing() -> None:
    for other in ("environment:A", "environment:A=credential:orders-db/reader#PGUSER"):
        with pytest.raises(BadSlotError, match="one place"):
            ServerIdentity(**STARTED, slots=slots(f"environment:A={READER}", other))
    with pytest.raises(BadSlotError, match="declared with a value"):
        ServerIdentity(**STARTED, environment=(("A", "1"),), slots=slots(f"environment:A={READER}"))
    with pytest.raises(BadSlotError, match="taken"):
        ServerIdentity(**REACHED, slots=slots(f"header:host={READER}"))


def test_a_scheme_stands_before_the_value_in_a_header() -> None:
    found = parse_slot("header:authorization=Bearer credential:github/issues#TOKEN").source
    assert found is not None
    assert found.value("tbs_1") == "Bearer tbs_1"
    assert found.stand_in == "Bearer taskbound-looks"


@given(
    st.dictionaries(st.from_regex(r"[a-q][a-z0-9_]{0,5}", fullmatch=True), st.text(min_size=1, max_size=9))
)
def test_any_source_is_read_as_it_was_written(parameters: dict[str, str]) -> None:
    asked = tuple(sorted(parameters.items()))
    try:
        source = Source(target="orders-db", kind="reader", name="A", parameters=asked)
        text = source.text
    except (MalformedError, UnicodeEncodeError):
        return
    assert parse_source(text) == source

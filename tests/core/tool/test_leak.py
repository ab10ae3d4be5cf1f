from __future__ import annotations

import base64
import json
import time
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.core.tool import MIN_SECRET
from taskbound.core.tool.slot import Leaks

SECRET = 's3cr3t/"K€y+v%41l'
secrets = st.text(st.characters(exclude_categories=["Cs"]), min_size=MIN_SECRET, max_size=40)
around = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(secrets, around, around)
def test_a_secret_is_found_however_it_is_written_and_wherever_it_stands(
    secret: str, before: str, after: str
) -> None:
    leaks = Leaks([secret])
    whole = before + secret + after
    coded = base64.b64encode(whole.encode()).decode()
    for text in (
        whole,
        json.dumps({"a": [whole]}),
        json.dumps({whole: 1}, ensure_ascii=False),
        json.dumps(json.dumps(whole)),
        urllib.parse.quote(whole, safe=""),
        "".join(f"%{byte:02x}" for byte in whole.encode()),
        coded,
        base64.urlsafe_b64encode(whole.encode()).decode(),
        base64.encodebytes(whole.encode()).decode(),
        json.dumps(base64.encodebytes(whole.encode()).decode()),
        json.dumps(f'it says 5" of {json.dumps(whole)}'),
        whole.encode().hex(),
        json.dumps({"bytea": f"\\x{whole.encode().hex()}"}),
        secret.encode().hex(" ", 2).upper(),
    ):
        assert leaks.found_in(text)
        assert leaks.found_in("nothing", text.encode())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nothing of it",
        SECRET[:-1],
        SECRET[::-1],
        SECRET.encode().hex(":"),
        json.dumps(list(SECRET)),
        "\\",
        "%",
        "%4",
    ],
)
def test_what_is_not_written_in_one_of_these_ways_is_not_found(text: str) -> None:
    assert not Leaks([SECRET]).found_in(text)


def test_without_secrets_nothing_is_found_and_none_is_in_a_repr() -> None:
    assert not Leaks(()).found_in(SECRET)
    assert SECRET not in repr(Leaks([SECRET]))


@pytest.mark.parametrize(
    "text",
    [
        f"it was {SECRET}",
        f"it was {SECRET[:-1]}",
        f"it was {SECRET[:8]}",
        f"it was {SECRET[:8]}…",
        f"it was {SECRET[:8]}… [code]",
        f"{SECRET[1:]} it was",
        f"{SECRET[-8:]} it was",
        SECRET[2:-2],
    ],
)
def test_a_secret_that_was_cut_is_found_where_it_may_have_been(text: str) -> None:
    assert Leaks([SECRET]).cut_in("nothing", text)


@pytest.mark.parametrize(
    "text", ["", "…", SECRET[:7], SECRET[-7:], f"it was {SECRET[:8]} and", f"and {SECRET[-8:]} it was"]
)
def test_what_is_too_short_or_was_not_cut_is_not_found(text: str) -> None:
    assert not Leaks([SECRET]).cut_in(text)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("piece", ['\\"', "\\", '"', "\\u005c", "%5", "%5c", "\\\n", '\\"\n', "\\x"])
def test_no_text_takes_longer_than_its_bytes(piece: str) -> None:
    text = '"' + piece * 65_536
    leaks, before = Leaks([SECRET]), time.process_time()
    assert not leaks.found_in(text, json.dumps(text), json.dumps({text: json.dumps(text)}))
    assert time.process_time() - before < 5

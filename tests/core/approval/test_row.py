from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.core.approval import (
    BadProbeError,
    Lookup,
    OperandUnreadableError,
    ProbeKind,
    looks_of,
    parse_probe,
    parse_probes,
)
from taskbound.core.approval.probe import RowPlace, parse_row

PLACES = {
    "sqlite:/srv/ledger.db?table=invoices&key=id": RowPlace(
        engine="sqlite", path="/srv/ledger.db", table="invoices", key="id"
    ),
    "sqlite:/srv/a%20b%3F.db?table=in%22voices&key=i%2Fd&version=%C3%A9": RowPlace(
        engine="sqlite", path="/srv/a b?.db", table='in"voices', key="i/d", version="é"
    ),
    "postgresql:ledger?schema=public&table=invoices&key=id&version=xmin": RowPlace(
        engine="postgresql", service="ledger", schema="public", table="invoices", key="id", version="xmin"
    ),
    "postgresql:/run/postgresql?port=5433&database=books&user=reader&schema=s&table=t&key=k": RowPlace(
        engine="postgresql",
        path="/run/postgresql",
        port="5433",
        database="books",
        user="reader",
        schema="s",
        table="t",
        key="k",
    ),
}
BAD = {
    "another engine": "mysql:/srv/a?table=t&key=k",
    "no table": "sqlite:/srv/a.db?key=k",
    "no key": "sqlite:/srv/a.db?table=t",
    "a schema of a file": "sqlite:/srv/a.db?schema=s&table=t&key=k",
    "a relative path": "sqlite:a.db?table=t&key=k",
    "a path with dots": "sqlite:/srv/../a.db?table=t&key=k",
    "a path twice over": "sqlite://srv/a.db?table=t&key=k",
    "a wish of SQLite's": "sqlite:/srv/a.db?mode=rw&table=t&key=k",
    "another order": "sqlite:/srv/a.db?key=k&table=t",
    "said twice": "sqlite:/srv/a.db?table=t&table=u&key=k",
    "nothing said": "sqlite:/srv/a.db?table=&key=k",
    "an escape too many": "sqlite:/srv/a.db?table=%74&key=k",
    "a small escape": "sqlite:/srv/a.db?table=%c3%a9&key=k",
    "no UTF-8": "sqlite:/srv/a.db?table=%FF&key=k",
    "half an escape": "sqlite:/srv/a.db?table=%F&key=k",
    "a line": "sqlite:/srv/a.db?table=a%0Ab&key=k",
    "NUL": "sqlite:/srv/a.db?table=a%00&key=k",
    "a space as it is": "sqlite:/srv/a.db?table=a b&key=k",
    "a slash as it is": "sqlite:/srv/a.db?table=a/b&key=k",
    "a name that would be cut off": f"sqlite:/srv/a.db?table={'t' * 64}&key=k",
    "a service with options": "postgresql:ledger password?schema=s&table=t&key=k",
    "a host": "postgresql:db.example.com:5432?schema=s&table=t&key=k",
    "a URL": "postgresql://bob:secret@db/books?schema=s&table=t&key=k",
    "a password": "postgresql:/run/pg?database=d&password=x&schema=s&table=t&key=k",
    "no schema": "postgresql:ledger?table=t&key=k",
    "no database": "postgresql:/run/pg?schema=s&table=t&key=k",
    "a port in words": "postgresql:/run/pg?port=0x1&database=d&schema=s&table=t&key=k",
    "a database of a service": "postgresql:ledger?database=d&schema=s&table=t&key=k",
    "nothing": "",
}


@pytest.mark.parametrize("text", PLACES)
def test_a_row_s_place_is_read_and_written_in_one_way(text: str) -> None:
    assert parse_row(text) == PLACES[text]
    assert PLACES[text].text == text
    assert parse_probe(f"invoice=row:{text}").text == f"invoice=row:{text}"


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_what_is_no_place_of_a_row_is_refused(text: str) -> None:
    with pytest.raises(BadProbeError):
        parse_row(text)
    with pytest.raises(BadProbeError):
        parse_probes([f"invoice=row:{text}"])


NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(str.isprintable)


@given(table=NAMES, key=NAMES, version=NAMES, path=NAMES)
def test_whatever_can_be_printed_may_be_a_name_and_is_read_back(
    table: str, key: str, version: str, path: str
) -> None:
    place = RowPlace(
        engine="sqlite", path=f"/srv/{path.replace('/', '_')}.db", table=table, key=key, version=version
    )
    assert parse_row(place.text) == place


PROBE = parse_probe("invoice=row:sqlite:/srv/ledger.db?table=invoices&key=id")


def looks(value: object) -> list[str]:
    found = looks_of([PROBE], {"invoice": value}, {}, directory="/")  # type: ignore[dict-item]  # a plain JSON value
    assert all(one.probe.kind is ProbeKind.ROW and not one.is_near for one in found)
    return [one.value for one in found]


def test_a_key_is_a_text_or_an_integer_or_some_of_them() -> None:
    assert looks("INV-7") == ["INV-7"]
    assert looks(7) == looks("7") == ["7"]
    assert looks([7, "x"]) == ["7", "x"]


@pytest.mark.parametrize("value", [True, 1.5, None, "", {}, "a\x00b", "x" * 1001, [[7]], [""]])
def test_what_is_no_key_is_not_looked_for(value: object) -> None:
    with pytest.raises(OperandUnreadableError):
        looks(value)


def test_a_file_is_near_and_a_row_is_not() -> None:
    file = Lookup(place="/a", probe=parse_probe("a=file:/srv"), value="x", directory="/")
    assert file.is_near

from __future__ import annotations

import pytest

from taskbound.surfaces.cli.clients.files import BadConfigError
from taskbound.surfaces.cli.clients.jsonc import parse_environment


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("A=", ""),
        ("  A=b c  ", "b c"),
        ("export A=b", "b"),
        ("A=''", ""),
        ("A='b # c'", "b # c"),
        ('A="b=c d"', "b=c d"),
        ("A=https://example.com/?x=1&y=2", "https://example.com/?x=1&y=2"),
    ],
)
def test_a_line_that_all_clients_read_alike_is_read(line: str, value: str) -> None:
    assert parse_environment(f"# first\r\n\r\n{line}\r") == {"A": value}


def test_the_last_of_two_counts() -> None:
    assert parse_environment("A=1\nA=2\n") == {"A": "2"}


@pytest.mark.parametrize(
    "line",
    [
        "A",
        "A = b",
        "A: b",
        "1A=b",
        "A=b # c",
        "A=$B",
        'A="$B"',
        "A='$B'",
        "A=`date`",
        "A='b",
        'A="b"c',
        'A="b\\nc"',
        "A=b\\",
        "A=b\x00c",
        "A='b\x00c'",
        "export",
        'A=b\x00"',
    ],
)
def test_a_line_that_clients_read_differently_refuses_and_is_not_quoted(line: str) -> None:
    with pytest.raises(BadConfigError) as caught:
        parse_environment(f"OK=1\n{line}\n")
    assert caught.value.message == "line 2 is not `NAME=value` as every client reads it"

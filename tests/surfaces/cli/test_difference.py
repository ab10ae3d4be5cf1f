from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from taskbound.surfaces.cli.clients.jsonc import (
    difference,
    has_secret,
    masked_text,
    masked_url,
    masked_words,
    parse_jsonc,
)
from taskbound.surfaces.cli.clients.undo import Change, rewrite

if TYPE_CHECKING:
    from collections.abc import Sequence

GHP = "ghp_" + "a" * 36
OUTER = "account-7"
BODY = {
    "oauthAccount": OUTER,
    "mcpServers": {
        "a": {
            "command": "npx",
            "args": ["-y", "x@1", "--token", "s3cret", "--db=postgres://u:s3cret@h/d", "API_KEY=s3cret"],
            "env": {"KEY": "s3cret", "N": 5, "odd": {"deep": ["s3cret"]}},
        },
        "b": {
            "url": "https://u:s3cret@example.com/mcp?x=1&api_key=s3cret",
            "headers": {"X": "s3cret"},
            "password": "s3cret",
            "note": GHP,
        },
        "kept": {"command": "y", "env": {"ALSO": "s3cret"}},
    },
    "last": "s3cret",
}


def shown(before: str, *remove: str) -> Sequence[str]:
    change = Change(keys=("mcpServers",), remove=remove, name="taskbound", entry={"command": "t"})
    return difference(before, rewrite(before, change)[0], [("mcpServers",)])


@pytest.mark.parametrize("indent", [2, None])
def test_a_difference_holds_no_secret_and_nothing_but_the_servers(indent: int | None) -> None:
    lines = "\n".join(shown(json.dumps(BODY, indent=indent), "a", "b"))
    assert "s3cret" not in lines
    assert GHP not in lines
    assert OUTER not in lines
    assert '"last"' not in lines
    for part in ('"x@1"', '"KEY": "(not shown)"', '"N": "(not shown)"', '"taskbound"', '"password"'):
        assert part in lines


def test_a_difference_has_the_lines_of_the_file() -> None:
    servers = {name: {"command": name} for name in ("a", "b", "c", "d", "e")}
    text = json.dumps({"x": 1, "mcpServers": servers}, indent=1)
    head, *lines = shown(text, "c")
    assert lines == [
        '    "command": "b"',
        "   },",
        '-  "c": {',
        '-   "command": "c"',
        '+  "taskbound": {',
        '+   "command": "t"',
        "   },",
        '   "d": {',
    ]
    assert head == "@@ -8,6 +8,6 @@"
    assert text.splitlines()[8 - 1 : 8 + 5] == [line[1:] for line in lines if line[0] != "+"]


def test_what_is_too_long_to_look_at_is_said_not_to_be_shown() -> None:
    many = {f"s{number}": {"command": "x"} for number in range(2_000)}
    (line,) = shown(json.dumps({"mcpServers": many}, indent=1), "s0")
    assert "too long to be shown" in line
    wide = {"a": {"command": "x" * 1_000}, "b": {"command": "y"}}
    assert all(len(line) < 500 for line in shown(json.dumps({"mcpServers": wide}, indent=1), "a"))


@pytest.mark.parametrize(
    ("words", "masked"),
    [
        (("x", "--token", "a", "b"), ("x", "--token", "(not shown)", "b")),
        (("x", "--token=a", "b"), ("x", "--token=(not shown)", "b")),
        (("x", "-H", "X-Api-Key: a b"), ("x", "-H", "X-Api-Key: (not shown)")),
        (("x", "Authorization: Bearer abcdefgh"), ("x", "(not shown)")),
        (("x", "https://h/?token=a&b=c"), ("x", "https://h/?token=(not shown)&b=c")),
        (("x", GHP), ("x", "(not shown)")),
        (("x", "--header", "X-API-Key:abc"), ("x", "--header", "X-API-Key:(not shown)")),
        (("x", "--header=X-API-Key: a b"), ("x", "--header=X-API-Key: (not shown)")),
        (("x", "--env=API_KEY=abc", "b"), ("x", "--env=API_KEY=(not shown)", "b")),
        (("x", "-H", "X-API-Key:", "abc"), ("x", "-H", "X-API-Key:(not shown)", "(not shown)")),
        (("x", '--json={"apiKey": "abc"}'), ("x", '--json={"apiKey": "(not shown)')),
        (("x", "--env=DB_PASSWORD=a://b"), ("x", "--env=DB_PASSWORD=(not shown)")),
        (
            ("x", "--url=https://h/a:1/?b=c", "-v", "/srv:/x"),
            ("x", "--url=https://h/a:1/?b=c", "-v", "/srv:/x"),
        ),
        (("x", "--sort-key", "a", "--key=b", "/srv/keys"), ("x", "--sort-key", "a", "--key=b", "/srv/keys")),
    ],
)
def test_the_words_of_a_command_that_are_secrets_are_masked(
    words: Sequence[str], masked: Sequence[str]
) -> None:
    assert masked_words(words) == masked
    assert has_secret(words) is (words != masked)


def test_a_url_is_masked_where_a_secret_may_stand() -> None:
    url = "https://me:pw@h:1/p;k=v?session=1&a=2&sig=3#token=4"
    assert masked_url(url) == (
        "https://(not shown)@h:1/p;k=v?session=(not shown)&a=2&sig=(not shown)#token=(not shown)"
    )


def test_a_masked_text_is_still_the_text_where_nothing_is_hidden() -> None:
    text = '// c\n{"a": {"command": "x", "args": ["y", {"z": 1}]},}'
    document = parse_jsonc(text)
    assert masked_text(text, [document.root], document.comments) == text


def test_no_comment_is_shown_and_the_lines_keep_their_numbers() -> None:
    text = """{ // s3cret
  "mcpServers": /* s3cret */ {
    // KEY was s3cret
    "a": {"command": "x"}, /* s3cret
      s3cret */ "b": {"command": "y"}, // s3cret
    "c": {"command": "z"}
  } // s3cret
}
"""
    head, *lines = shown(text, "c")
    assert "s3cret" not in "\n".join(lines)
    assert head.startswith("@@ -4,4 ")
    assert "// (not shown)" in "\n".join(lines)

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.surfaces.cli.clients.files import BadConfigError, ConfigCommentError
from taskbound.surfaces.cli.clients.jsonc import parse_jsonc
from taskbound.surfaces.cli.clients.undo import Change, put_back, rewrite

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue

ENTRY: dict[str, JsonValue] = {"command": "/opt/bin/taskbound", "args": ["gateway", "--agent", "a"]}


def change(*remove: str, keys: tuple[str, ...] = ("mcpServers",)) -> Change:
    return Change(keys=keys, remove=remove, name="taskbound", entry=dict(ENTRY))


PRETTY = """{
  "theme": "dark",
  "mcpServers": {
    "git": {
      "command": "uvx",
      "args": ["mcp-server-git"]
    },
    "fetch": {
      "command": "uvx",
      "args": ["mcp-server-fetch"]
    },
    "web": {"url": "https://example.com/mcp"}
  },
  "last": [1,2,   3]
}
"""


def test_ticked_servers_give_way_to_one_entry_and_every_other_byte_stays() -> None:
    new, _ = rewrite(PRETTY, change("git", "fetch"))
    assert (
        new
        == """{
  "theme": "dark",
  "mcpServers": {
    "taskbound": {
      "command": "/opt/bin/taskbound",
      "args": [
        "gateway",
        "--agent",
        "a"
      ]
    },
    "web": {"url": "https://example.com/mcp"}
  },
  "last": [1,2,   3]
}
"""
    )


def test_the_last_servers_take_the_comma_before_them_along() -> None:
    lines = [f'    "{name}": {{"command": "{name}"}}' for name in "abc"]
    text = '{\n  "mcpServers": {\n' + ",\n".join(lines) + "\n  }\n}\n"
    new, _ = rewrite(text, change("b", "c"))
    assert parse_jsonc(new).root.value == json.loads(new), "still strict JSON"
    assert list(json.loads(new)["mcpServers"]) == ["a", "taskbound"]


def test_comments_around_servers_stay_where_they_are() -> None:
    text = """{
\t// my servers
\t"servers": {
\t\t// for work
\t\t"git": { "command": "git-mcp" }, // keep this one
\t\t/* for fun */
\t\t"fetch": { "command": "fetch-mcp" },
\t},
\t"inputs": [], // none
}
"""
    new, _ = rewrite(text, change("git", "fetch", keys=("servers",)))
    for comment in ("// my servers", "// for work", "// keep this one", "/* for fun */", "// none"):
        assert comment in new
    assert parse_jsonc(new).root.value == {"servers": {"taskbound": ENTRY}, "inputs": []}


def test_a_comment_inside_a_server_that_would_go_refuses_with_its_line() -> None:
    text = '{"servers": {\n"git": {"command": "x",\n // the old one was y\n "args": []}}}'
    with pytest.raises(ConfigCommentError, match="`git` has a comment at line 3"):
        rewrite(text, change("git", keys=("servers",)))


def test_windows_line_ends_stay_windows_line_ends() -> None:
    text = PRETTY.replace("\n", "\r\n")
    new, _ = rewrite(text, change("git"))
    assert "\n" not in new.replace("\r\n", "")


def test_an_entry_of_ours_is_brought_up_to_date_and_not_doubled() -> None:
    once, _ = rewrite(PRETTY, change("git"))
    twice, removed = rewrite(once, change("fetch"))
    assert list(json.loads(twice)["mcpServers"]) == ["taskbound", "web"]
    assert removed.name == ""
    again, _ = rewrite(twice, change())
    assert again == twice


def test_a_server_that_went_in_the_meantime_refuses() -> None:
    with pytest.raises(BadConfigError, match="is gone"):
        rewrite(PRETTY, change("git", "none"))


def test_a_file_without_the_object_refuses() -> None:
    with pytest.raises(BadConfigError, match="no object"):
        rewrite("{}", change("git"))


NAMES = st.lists(st.sampled_from(["a", "b", "c d", "ü", 'q"x', "taskbound2"]), unique=True, min_size=1)
GAPS = st.sampled_from(["", " ", "\n", "\n    ", "\t", "\r\n  ", " /* c */ ", " // c\n"])


@st.composite
def configs(draw: st.DrawFn) -> tuple[str, list[str]]:
    names = draw(NAMES)
    members = []
    for name in names:
        body = draw(st.sampled_from(['{"command": "x"}', '{\n "command": "x",\n "args": []\n}', "{}", "7"]))
        members.append(f"{draw(GAPS)}{json.dumps(name)}{draw(GAPS).split('/')[0]}:{body}{draw(GAPS)}")
    trailing = "," if draw(st.booleans()) else ""
    text = f'{{"x": [1.50, "\\u00fc"],"mcpServers":{{{",".join(members)}{trailing}{draw(GAPS)}}},"y":2 }}\n'
    return text, names


@given(configs(), st.data())
def test_any_choice_of_servers_in_any_layout_leaves_the_rest_as_it_means(
    config: tuple[str, list[str]], data: st.DataObject
) -> None:
    text, names = config
    gone = data.draw(st.lists(st.sampled_from(names), unique=True, min_size=1))
    new, removed = rewrite(text, change(*gone))
    want = parse_jsonc(text).root.value
    assert isinstance(want, dict)
    inside = want["mcpServers"]
    assert isinstance(inside, dict)
    kept = {name: body for name, body in inside.items() if name not in gone}
    got = parse_jsonc(new)
    assert got.root.value == {**want, "mcpServers": {**kept, "taskbound": ENTRY}}
    before = [text[a:b] for a, b in parse_jsonc(text).comments]
    assert [new[a:b] for a, b in got.comments] == before, "no comment is lost"
    assert parse_jsonc(put_back(new, removed)).root.value == want


@given(configs(), st.data())
def test_servers_are_put_back_beside_what_changed_since(
    config: tuple[str, list[str]], data: st.DataObject
) -> None:
    text, names = config
    gone = data.draw(st.lists(st.sampled_from(names), unique=True, min_size=1))
    new, removed = rewrite(text, change(*gone))
    since = new.replace('"y":2', '"y":3, "z": {"mcpServers": {}}')
    want = parse_jsonc(text).root.value
    assert isinstance(want, dict)
    assert parse_jsonc(put_back(since, removed)).root.value == {**want, "y": 3, "z": {"mcpServers": {}}}

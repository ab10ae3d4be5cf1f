from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.peers.openssh import make_key
from tests.peers.pages import answer, pages
from tests.surfaces.cli.asking import Asking, asking
from tests.surfaces.cli.test_operands import sheet_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.surfaces.cli.installation import Installation


@pytest.fixture
def place(fresh: Installation, tmp_path: Path) -> Installation:
    fresh.prepare()
    assert fresh("person", "demo", "begin").status == 0
    assert fresh("person", "key", "add", str(make_key(tmp_path, name="alice"))).status == 0
    fresh.start_task(scope=fresh.scope({"tool": "fs__write", "others": "any"}))
    return fresh


@pytest.fixture
def ask(place: Installation) -> Iterator[Asking]:
    with asking(place) as one:
        yield one


def said(ask: Asking, path: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ask(json.dumps({"path": path})))
    return found


def test_a_page_is_declared_shown_signed_and_looked_at_again_by_the_daemon(
    place: Installation, ask: Asking, tmp_path: Path
) -> None:
    with pages() as there:
        words = ("tool", "declare", "fs__write")
        base = f"{there.origin}/v1/"
        assert "bad-probe" in place(*words, "--probe", f"path=etag:{there.origin}/v1", "--yes").err
        declared = place(*words, "--probe", f"path=etag:{base}", "--yes")
        assert declared.status == 0, declared.err
        first = said(ask, "a?x=1")
        ask(json.dumps({"outcome": "unknown", "action": first["action"]}))
        assert there.asked == [], "policy held nothing"

        held = said(ask, "a?x=1")
        assert held["code"] == "held", held
        (operand,) = sheet_in(place("approval", "show", held["action"]).out).operands
        assert (operand.kind, dict(operand.found)) == ("etag", {"page": f"{base}a?x=1", "etag": '"v1"'})
        key = ("--key", str(tmp_path / "alice"))
        assert place("approval", "sign", held["action"], *key).status == 0

        there.says = answer('ETag: "v2"')
        other = said(ask, "a?x=1")
        assert (other["code"], other["action"] != held["action"]) == ("held", True)
        assert "the etag behind `/path`" in other["reasons"][0]["detail"]
        assert place("approval", "sign", other["action"], *key).status == 0
        assert said(ask, "a?x=1")["is"] == "permitted"

        ask(json.dumps({"outcome": "unknown", "action": other["action"]}))
        there.says = answer('ETag: "v2"', "Location: /v1/b", status="302 Found")
        refused = said(ask, "a?x=1")
        assert refused["code"] == "operand-unreadable"
        assert "leads elsewhere" in refused["reasons"][0]["text"]
        asked = len(there.asked)
        for outside, code in (
            ("/v2/a", "operand-outside"),
            ("https://evil.example/v1/a", "operand-outside"),
            ("../a", "operand-unreadable"),
            ("%2e%2e/a", "operand-unreadable"),
            (f"http://user:secret@127.0.0.1:{there.port}/v1/a", "operand-unreadable"),
        ):
            action = said(ask, outside)["action"]
            ask(json.dumps({"outcome": "unknown", "action": action}))
            assert said(ask, outside)["code"] == code
        assert len(there.asked) == asked, "none of them was asked for"

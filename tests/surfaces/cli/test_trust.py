from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.house.tree import ROOT
from tests.peers.domain import Domain
from tests.peers.workload_api import WorkloadApi
from tests.surfaces.cli.installation import Installation
from tests.surfaces.cli.test_secrets_guide import BLOCK, fits
from tests.wiring.running import until

CORP = Domain("corp.example", now=datetime.now(UTC))


def row(place: Installation, domain: str) -> dict[str, object]:
    rows = {one["domain"]: one for one in place("agent", "trust", "list", "--json").document["rows"]}
    found: dict[str, object] = rows.get(domain, {})
    return found


def finding(place: Installation, domain: str) -> tuple[str, str]:
    found = json.loads(place("doctor", "--json").out)["findings"]
    ((level, text),) = [
        (one["level"], one["text"])
        for one in found
        if one["name"] == "trust" and f"domain {domain}," in one["text"]
    ]
    return level, text


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "corp.json"
    path.write_bytes(CORP.bundle())
    path.chmod(0o644)
    return path


def test_every_command_of_the_guide_says_what_the_guide_says(place: Installation, file: Path) -> None:
    page = (ROOT / "docs/guides/spiffe.md").read_text(encoding="utf-8")
    page = page.replace("/etc/spiffe/corp.json", str(file))
    count = 0
    for block in BLOCK.finditer(page):
        line, *written = block["body"].removeprefix("$ ").rstrip("\n").split("\n")
        ended = place(*shlex.split(line)[1:])
        said = (ended.out + ended.err).splitlines()
        count += 1
        if written == ["…"]:
            assert "trust domain corp.example" in ended.out, said
            continue
        assert ended.status == 0, (line, ended)
        assert len(said) == len(written), (line, said)
        for one, other in zip(said, written, strict=True):
            assert fits(one, other), (line, one, other)
        if "trust add" in line:
            until(lambda: row(place, "corp.example")["confirmed"] != 0, "the file is read")
    assert count == 5


def test_a_file_is_followed_without_a_restart_and_the_doctor_says_what_it_is_worth(
    place: Installation, file: Path
) -> None:
    add = place("agent", "trust", "add", "file.example", "--file", str(file), "--bound", "1m")
    assert add.status == 0, add.err
    until(lambda: "[foreign-authority]" in str(row(place, "file.example")["trouble"]), "it is corp's")
    assert finding(place, "file.example")[0] == "bad"
    assert "is stale, and nothing of it counts" in finding(place, "file.example")[1]
    mine = Domain("file.example", now=datetime.now(UTC))
    file.write_bytes(mine.bundle())
    until(lambda: row(place, "file.example")["x509"] == 1, "the new file is taken")
    assert finding(place, "file.example")[0] == "ok"
    file.write_bytes(mine.bundle(spiffe_sequence=2)[:50])
    until(lambda: "[bad-trust-bundle]" in str(row(place, "file.example")["trouble"]), "half a file is seen")
    assert row(place, "file.example")["x509"] == 1
    assert finding(place, "file.example")[0] == "warn"
    file.write_bytes(mine.bundle(keys=[], spiffe_sequence=2))
    until(lambda: row(place, "file.example")["x509"] == 0, "an empty bundle is taken")
    assert "nothing of it counts" in finding(place, "file.example")[1]
    assert place("agent", "trust", "remove", "file.example", "--yes").status == 0
    assert row(place, "file.example") == {}


def test_a_workload_api_is_followed_by_the_daemon_through_a_withdrawal_and_a_restart(
    place: Installation, tmp_path: Path
) -> None:
    with WorkloadApi(tmp_path) as api:
        corp = Domain("api.example", now=datetime.now(UTC))
        api.x509 = {"spiffe://api.example": corp.authority.der}
        api.jwt = {"spiffe://api.example": corp.bundle()}
        done = place("agent", "trust", "add", "api.example", "--workload-api", api.place, "--bound", "60s")
        assert done.status == 0, done.err
        until(lambda: row(place, "api.example")["x509"] == 1, "what the server says is taken")
        shown = place("agent", "trust", "show", "api.example")
        assert corp.kid in shown.out
        api.x509 = {}
        api.say()
        until(lambda: row(place, "api.example")["x509"] == 0, "what it says no more is withdrawn")
        assert row(place, "api.example")["jwt"] == 1
        api.stop()
        until(lambda: "[trust-source]" in str(row(place, "api.example")["trouble"]), "its end is seen")
        api.x509 = {"spiffe://api.example": corp.authority.der}
        api.start()
        until(lambda: row(place, "api.example")["x509"] == 1, "it is asked again")
        assert row(place, "api.example")["trouble"] == ""
    assert place("agent", "trust", "remove", "api.example", "--yes").status == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("x.example",), "bad-input"),
        (("x.example", "--file", "/a", "--https-web", "https://x.example/"), "bad-input"),
        (("x.example", "--file", "a"), "bad-trust"),
        (("X.example", "--file", "/a"), "bad-trust-domain"),
        (("x.example", "--https-web", "http://x.example/"), "bad-trust"),
        (("x.example", "--https-spiffe", "https://x.example/"), "bad-trust"),
        (("x.example", "--https-spiffe", "https://x.example/", "--endpoint", "x"), "bad-spiffe-id"),
        (("x.example", "--file", "/a", "--bound", "1s"), "bad-trust"),
        (("x.example", "--file", "/a", "--bound", "2d"), "bad-trust"),
    ],
)
def test_a_trust_domain_that_can_not_be_is_refused_by_its_name(
    place: Installation, words: tuple[str, ...], code: str
) -> None:
    ended = place("agent", "trust", "add", *words)
    assert (ended.status, f"[{code}]" in ended.err) == (2, True), ended.err
    assert place("agent", "trust", "show", "x.example").status == 3

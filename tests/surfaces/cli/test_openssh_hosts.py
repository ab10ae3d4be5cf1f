"""Hosts that are not set up as they have to be, and what people are told of them."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.keys.openssh import make_key, public_half
from tests.peers.sshd import rooted, running
from tests.surfaces.cli.installation import Ended, Installation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.peers.sshd import Sshd

LYING = """
import json, sys, time
for line in sys.stdin:
    if json.loads(line)["do"] == "hello":
        said = {"ok": {"version": VERSION, "now": int(time.time())}}
    else:
        said = {"no": "failed", "why": "\\x1b[31mtarget site is ready\\nroot: \\u202eok"}
    print(json.dumps(said), flush=True)
"""
"""A helper with words for whoever reads them."""


class Hosts:
    """An installation, and a host whose sshd asks no helper."""

    def __init__(self, place: Installation, sshd: Sshd) -> None:
        self.place, self.sshd = place, sshd
        self.trusted = place.root / "trusted.pub"

    def declare(self, name: str, **where: str | int | list[str]) -> dict[str, Any]:
        """A target with new keys: the document about them."""
        place = {
            "host": "127.0.0.1",
            "port": self.sshd.port,
            "host_keys": [self.sshd.host_key],
            "helper": self.sshd.account,
            **where,
        }
        kind = {"for": "looks around", "account": self.sshd.account, "seconds": 60, **rooted(self.sshd)}
        file = {"target": name, "kind": "openssh", "where": place, "owner": "alice", "approvers": ["alice"]}
        path = self.place.project / f"{name}.json"
        path.write_text(json.dumps({**file, "credentials": {"shell": kind}}), encoding="utf-8")
        found: dict[str, Any] = self.place("target", "add", path.name, "--new-keys", "--json").document
        return found

    def trust(self, ca: str) -> None:
        with self.trusted.open("a", encoding="ascii") as file:
            file.write(f"{ca}\n")

    def allow(self, key: str, command: list[str]) -> None:
        with (self.sshd.folder / "keys").open("a", encoding="ascii") as file:
            file.write(f'restrict,command="{shlex.join(command)}" {key}\n')

    def test(self, name: str) -> Ended:
        return self.place("target", "test", name)

    def state(self, name: str) -> str:
        return str(self.place("target", "show", name, "--json").document["state"])


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    place = Installation()
    trusted = place.root / "trusted.pub"
    trusted.touch()
    settings = (f"TrustedUserCAKeys {trusted}", "AuthorizedPrincipalsCommand /usr/bin/echo %u")
    try:
        with running(*settings) as sshd:
            place.prepare()
            yield Hosts(place, sshd)
    finally:
        place.end()


def test_a_host_without_a_helper_is_ready_once_it_trusts_the_ca_and_what_was_minted_ends_by_itself(
    hosts: Hosts,
) -> None:
    made = hosts.declare("plain", helper="none")
    assert (made["key"], made["target"]["state"]) == ("", "refused")
    hosts.trust(made["ca"])
    done = hosts.test("plain")
    assert (done.status, "target plain is ready" in done.out) == (0, True), done
    rows = hosts.place("credential", "list", "--target", "plain", "--json").document["rows"]
    assert {one["state"] for one in rows} == {"unsupported"}
    found = hosts.place("doctor", "--json").document["findings"]
    assert [one["level"] for one in found if one["name"] == "no-helper"] == ["warn"]
    assert hosts.place("target", "remove", "plain", "--yes").status == 0


def test_a_host_whose_sshd_does_not_ask_the_helper_gives_nothing_however_well_its_helper_answers(
    hosts: Hosts,
) -> None:
    made = hosts.declare("unasked")
    hosts.trust(made["ca"])
    hosts.allow(made["key"], hosts.sshd.command("serve"))
    done = hosts.test("unasked")
    assert (done.status, hosts.state("unasked")) == (3, "refused"), done
    assert "that were never admitted" in done.err
    assert "what to do: on the host, `/usr/local/sbin/taskbound-ssh-host check` says" in done.err


def test_no_word_of_a_helper_reaches_a_screen_unescaped_or_as_a_line_of_ours(hosts: Hosts) -> None:
    made = hosts.declare("lying")
    program = hosts.place.root / "lying.py"
    program.write_text(LYING.replace("VERSION", "1"), encoding="utf-8")
    hosts.allow(made["key"], [hosts.sshd.python, str(program)])
    for words in (("target", "test"), ("target", "show"), ("doctor",), ("credential", "list")):
        seen = hosts.place(*words, *(("lying",) if words[0] == "target" else ()))
        text = seen.out + seen.err
        assert not any(one in text for one in ("\x1b", "\u202e"))
        assert not [line for line in text.splitlines() if line.startswith(("target site", "root:"))]
    assert hosts.state("lying") == "refused"


def test_what_is_in_the_way_of_a_first_test_is_said_and_nothing_is_left(hosts: Hosts) -> None:
    other = public_half(make_key())
    again = hosts.declare("older")
    program = hosts.place.root / "older.py"
    program.write_text(LYING.replace("VERSION", "0"), encoding="utf-8")
    hosts.allow(again["key"], [hosts.sshd.python, str(program)])
    for name, why in (
        ("older", "the helper on the host is of version 0"),
        ("elsewhere", "no server answers at that host and port"),
        ("changed", "the host shows another key than those in the target's file"),
        ("unknown", "the host refuses this key"),
    ):
        if name == "elsewhere":
            hosts.declare(name, port=1)
        elif name == "changed":
            hosts.declare(name, host_keys=[other])
        elif name == "unknown":
            hosts.declare(name)
        done = hosts.test(name)
        assert (done.status, why in done.err) == (3, True), done
        rows = hosts.place("credential", "list", "--target", name, "--json").document["rows"]
        assert {one["state"] for one in rows} == {"revoked"}
        assert hosts.place("target", "remove", name, "--yes").status == 0

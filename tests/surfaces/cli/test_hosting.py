from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.keys.openssh import make_key, public_half
from taskbound.adapters.targets import openssh
from taskbound.core.target import parse_target_file
from taskbound.surfaces.cli.target.access import HELPER, PublicHalves, steps_for
from tests.surfaces.cli.installation import PROGRAM, Ended, Installation
from tests.surfaces.cli.minted import holding
from tests.wiring.running import until

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEGOjXSCpqUT7QkrG8VTbZR1LEj4AG+xPspDnLIaXKDy"
HOST: dict[str, Any] = {"host": "127.0.0.1", "port": 9, "host_keys": [KEY]}
FILE: dict[str, Any] = {
    "target": "build-host",
    "kind": "openssh",
    "where": HOST,
    "owner": "alice",
    "approvers": ["alice"],
    "credentials": {"deploy": {"for": "puts a release on the site", "account": "deploy", "seconds": 600}},
}
PRIVATE = "OPENSSH PRIVATE KEY"


@pytest.fixture(scope="module")
def place() -> Iterator[Installation]:
    one = Installation()
    try:
        one.prepare()
        yield one
    finally:
        one.end()


def declared(place: Installation, name: str, **where: object) -> str:
    """The name of a file with this target."""
    file = {**FILE, "target": name, "where": {**HOST, **where}}
    (place.project / f"{name}.json").write_text(json.dumps(file), encoding="utf-8")
    return f"{name}.json"


def piped(place: Installation, text: str, *words: str) -> Ended:
    """The command, with this on its standard input."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        return place(*words)


def steps(**where: str | int) -> list[str]:
    target = parse_target_file({**FILE, "where": {**HOST, **where}})
    found = steps_for(target, PublicHalves(ca="ssh-ed25519 CA", key="ssh-ed25519 KEY"))
    return [line for step in found for line in step.lines]


def test_what_is_to_be_done_on_a_host_names_its_port_its_account_and_both_public_keys() -> None:
    brought, installed, checked, allowed, tested = steps(port=2222, helper="keeper")
    assert "ssh -p 2222 root@127.0.0.1 " in brought
    assert "--ca 'ssh-ed25519 CA'" in installed
    assert checked.startswith(f"{HELPER} check")
    assert allowed == f'restrict,command="{HELPER} serve" ssh-ed25519 KEY taskbound:build-host'
    assert tested == "taskbound target test build-host"
    assert "-p" not in steps(port=22)[0].split()


def test_a_host_without_a_helper_is_told_of_the_ca_alone() -> None:
    said = "\n".join(steps(helper="none"))
    assert ("TrustedUserCAKeys" in said, "ssh-ed25519 CA" in said) == (True, True)
    assert not any(word in said for word in ("ssh-ed25519 KEY", HELPER, "host-helper", "authorized_keys"))


def test_no_word_of_a_targets_file_ends_a_line_or_is_more_than_one_word_of_a_shell() -> None:
    for where in ({"host": "a b"}, {"host": "x;id"}, {"host": "-oProxyCommand=x"}, {"helper": "root'"}):
        with pytest.raises(Exception, match=r"is no host's name|can't name an account"):
            steps(**where)


def test_new_keys_are_sealed_unseen_and_what_a_host_is_told_of_them_is_shown(place: Installation) -> None:
    done = place("target", "add", declared(place, "unseen"), "--new-keys")
    assert done.status == 0, done
    assert done.out.count("ssh-ed25519 ") == 2
    assert "on 127.0.0.1, as root: " in done.out
    assert "it gives nothing until all of that is done and its test works" in done.err
    assert PRIVATE not in done.out + done.err
    assert not holding(place.root, PRIVATE)
    assert place("target", "show", "unseen", "--json").document["state"] == "refused"


def removed(place: Installation, target: str) -> None:
    """Remove it, once its canaries are over, and not before."""
    until(lambda: place("target", "remove", target, "--yes").status == 0, f"`{target}` is removed")


def test_the_canaries_of_a_host_that_does_not_know_the_keys_are_over_as_nothing_was_sent(
    place: Installation,
) -> None:
    assert place("target", "add", declared(place, "over"), "--new-keys").status == 0
    rows = place("credential", "list", "--target", "over", "--json").document["rows"]
    assert [one["state"] for one in rows] == ["revoked"]
    again = place("target", "test", "over")
    assert (again.status, "[preflight-failed]" in again.err, f"`{HELPER} check`" in again.err) == (
        3,
        True,
        True,
    )
    removed(place, "over")


def test_whoever_lost_what_was_shown_has_new_keys_made_and_is_told_that_nothing_is_revoked_meanwhile(
    place: Installation,
) -> None:
    name = declared(place, "lost")
    first = place("target", "add", name, "--new-keys", "--json").document
    asked = place("target", "admin", name, "--new-keys")
    assert (asked.status, "Until its host knows the new keys nothing there is revoked" in asked.err) == (
        2,
        True,
    )
    second = place("target", "admin", name, "--new-keys", "--yes", "--json").document
    assert [one["is"] for one in (first, second)] == ["target-keys"] * 2
    assert len({first["ca"], first["key"], second["ca"], second["key"]}) == 4
    assert (first["target"]["number"], second["target"]["number"]) == (1, 2)
    for one in (first, second):
        lines = [line for step in one["steps"] for line in step["lines"]]
        assert sum(one["ca"] in line for line in lines) == sum(one["key"] in line for line in lines) == 1
        assert {step["where"] for step in one["steps"]} == {"here", "host"}


def test_where_there_is_no_helper_one_key_is_made(place: Installation) -> None:
    done = place("target", "add", declared(place, "alone", helper="none"), "--new-keys", "--json")
    assert (done.document["key"], done.document["ca"].startswith("ssh-ed25519 ")) == ("", True)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--admin-user", "root"), "has no admin's user and password"),
        (("--admin-user", "root", "--admin-stdin"), "has no admin's user and password"),
        (("--new-keys", "--admin-stdin"), "either made or read"),
        (("--new-keys", "--admin-user", "root"), "has no admin's user and password"),
        ((), "which keys the broker gets"),
    ],
)
def test_what_makes_no_sense_for_a_host_is_refused_before_anything_is_read_or_declared(
    words: tuple[str, ...], why: str, place: Installation
) -> None:
    found = place("target", "add", declared(place, "none"), *words)
    assert (found.status, "[bad-input]" in found.err, why in found.err) == (2, True, True), found
    assert "none" not in [one["name"] for one in place("target", "list", "--json").document["rows"]]


def test_keys_are_not_made_for_a_database(place: Installation) -> None:
    file = {
        **FILE,
        "kind": "postgres",
        "where": {"host": "/run", "database": "orders"},
        "credentials": {"reader": {"for": "reads", "group": "readers", "seconds": 60}},
    }
    (place.project / "orders.json").write_text(json.dumps(file), encoding="utf-8")
    found = place("target", "add", "orders.json", "--new-keys")
    assert (found.status, "is for hosts with OpenSSH" in found.err) == (2, True), found


@pytest.mark.parametrize("helper", ["root", "none"])
def test_keys_that_are_there_are_given_by_standard_input(helper: str, place: Installation) -> None:
    ca, key = make_key(), make_key()
    name = declared(place, f"given-{helper}", helper=helper)
    text = json.dumps({"ca": ca, "key": key if helper == "root" else ""}, indent=1)
    found = piped(place, text, "target", "add", name, "--admin-stdin")
    assert (found.status, "[preflight-failed]" in found.err) == (3, True), found
    assert not holding(place.root, *ca.splitlines()[1:3])
    removed(place, f"given-{helper}")


def test_keys_that_the_broker_can_not_use_are_refused_before_anything_is_declared(
    place: Installation, tmp_path: Path
) -> None:
    file = tmp_path / "closed"
    made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "open sesame", "-f", str(file)]
    subprocess.run(made, check=True, capture_output=True)
    ca, closed = make_key(), file.read_text(encoding="ascii")
    helped, alone = declared(place, "refused"), declared(place, "refused-alone", helper="none")
    for name, access, why in (
        (helped, {"ca": closed, "key": ca}, "closed by a passphrase"),
        (helped, {"ca": ca, "key": ""}, "is reached by a key, and none is given"),
        (alone, {"ca": ca, "key": make_key()}, "has no helper, and a key is given"),
        (helped, {"ca": ca, "key": ca}, "give that a key of its own"),
        (helped, {"ca": ca, "key": commented(ca, tmp_path)}, "give that a key of its own"),
        (helped, {"user": "root", "password": ca}, "private key of a CA"),
    ):
        found = piped(place, json.dumps(access), "target", "add", name, "--admin-stdin")
        assert (found.status, "[bad-admin-access]" in found.err, why in found.err) == (2, True, True), found
        assert not [one for one in ca.split() + closed.split() if len(one) > 20 and one in found.err]
    names = [one["name"] for one in place("target", "list", "--json").document["rows"]]
    assert not [one for one in names if one.startswith("refused")]


def commented(private: str, folder: Path) -> str:
    """The same key, written otherwise."""
    file = folder / "same"
    file.write_text(private, encoding="ascii")
    file.chmod(0o600)
    words = ["ssh-keygen", "-q", "-c", "-C", "another comment", "-f", str(file)]
    subprocess.run(words, check=True, capture_output=True)
    text = file.read_text(encoding="ascii")
    assert (text != private, public_half(text)) == (True, public_half(private))
    return text


def test_the_helper_is_printed_byte_for_byte_with_its_version(place: Installation) -> None:
    text = Path(str(openssh.__file__)).with_name("host.py").read_bytes()
    printed = subprocess.run(
        [*PROGRAM, "target", "host-helper"], env=place.environ, check=True, capture_output=True
    )
    assert (printed.stdout, printed.stderr) == (text, b"")
    said = place("target", "host-helper", "--json").document
    assert (said["is"], said["text"].encode(), said["version"]) == ("host-helper", text, 2)
    written = place("target", "host-helper", "--output", "helper", "--json").document
    assert ((place.project / "helper").read_bytes(), written["sha256"]) == (text, said["sha256"])
    assert (written["path"], written["text"]) == ("helper", "")
    assert f"version 2, SHA-256 {said['sha256']}" in place("target", "host-helper", "-o", "helper").err


def test_the_helper_that_is_printed_runs_from_a_pipe(place: Installation) -> None:
    text = place("target", "host-helper", "--json").document["text"]
    done = subprocess.run(
        ["python3", "-ISB", "-", "nothing"], input=text, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from taskbound.surfaces.cli.doctor.broker import (
    BrokerView,
    is_hidden,
    see_broker,
    tell_broker,
    tell_hosts,
    tell_targets,
)
from taskbound.surfaces.cli.target.preflight import tell_lasting
from taskbound.wire.connection import StatusReport
from taskbound.wire.policy import BundleInForce
from taskbound.wire.target import KindRow, TargetRow

if TYPE_CHECKING:
    from tests.surfaces.cli.installation import Installation

OWN = 1000


def status(**what: Any) -> StatusReport:
    plain: dict[str, Any] = {"version": "1", "home": "/h", "pid": 1, "started": 0, "stopped": False}
    more = {"store": "", "running_tasks": 0, "records": 0, "covered": 0, "checkpoint_at": 0}
    last = {"monitor_delivered_at": 0, "signer": "", "policy": BundleInForce(digest="d", base="d")}
    return StatusReport(**plain | more | last | {"targets": 1} | what)


def target(**what: Any) -> TargetRow:
    plain: dict[str, Any] = {
        "name": "orders-db",
        "kind": "postgres",
        "where": msgspec.Raw(b"{}"),
        "owner": "ann",
    }
    more = {"approvers": (), "identity": "1", "state": "ready", "number": 1, "kinds": (), "revocable": True}
    return TargetRow(**plain | more | what)


SHORT, LONG = (
    KindRow(name=f"k{one}", tool="t", description="d", seconds=one, effect="read") for one in (60, 900)
)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEGOjXSCpqUT7QkrG8VTbZR1LEj4AG+xPspDnLIaXKDy"


def host(name: str, **where: str) -> TargetRow:
    place = msgspec.json.encode({"host": "build.example", "host_keys": [KEY], **where})
    return target(name=name, kind="openssh", where=msgspec.Raw(place))


def told(found: Any) -> dict[str, tuple[str, str]]:
    return {name: (level, text) for level, name, text, _ in found}


@pytest.mark.parametrize(
    "seen",
    [BrokerView(uid=OWN, hidden=True), BrokerView(uid=OWN, hidden=False), BrokerView(uid=OWN)],
    ids=repr,
)
def test_one_account_is_said_to_be_no_boundary_also_where_no_tracer_reads_the_broker(
    seen: BrokerView, tmp_path: Path
) -> None:
    hidden, found = seen.hidden, told(tell_broker(seen, tmp_path / "broker", OWN))
    level, text = found["broker-account"]
    assert (level, "an agent with a shell included, can read its key" in text) == ("warn", True)
    assert ("kept from tracers" in text, "can be read by tracers" in text) == (
        hidden is True,
        hidden is False,
    )


def test_an_account_of_its_own_is_a_boundary_and_its_key_is_not_looked_for_here(tmp_path: Path) -> None:
    found = told(tell_broker(BrokerView(uid=77_777, hidden=True), tmp_path, OWN))
    assert found.keys() == {"broker-account"}
    assert found["broker-account"][0] == "ok"
    assert "account 77777" in found["broker-account"][1]


@pytest.mark.parametrize(("mode", "level"), [(0o700, "ok"), (0o750, "bad"), (0o701, "bad")])
def test_a_directory_of_the_brokers_key_that_others_can_enter_is_bad(
    mode: int, level: str, tmp_path: Path
) -> None:
    tmp_path.chmod(mode)
    found = told(tell_broker(BrokerView(uid=OWN), tmp_path, OWN))
    assert (found["broker-key"][0], f"{mode:04o}" in found["broker-key"][1]) == (level, True)


def test_a_broker_that_nobody_sees_or_that_is_not_connected_is_bad(tmp_path: Path) -> None:
    seen = see_broker(tmp_path / "broker.sock")
    assert told(tell_broker(seen, tmp_path, OWN))["broker"][0] == "bad"
    found = told(tell_targets((), status(brokers=0, revoking_credentials=3)))
    assert (found["broker-connected"][0], "(3 should be)" in found["broker-connected"][1]) == ("bad", True)
    assert told(tell_targets((), status(brokers=1))) == {
        "broker-connected": ("ok", "a broker is connected to the daemon")
    }


def test_a_store_that_counts_as_restored_is_bad_and_said_with_since_when_and_what_is_left() -> None:
    doubted = status(
        brokers=1, epoch=3, doubted=1_800_000_000_000_000, doubt="it has \x1b[1mfewer", doubted_targets=2
    )
    level, text = told(tell_targets((), doubted))["store-restored"]
    assert level == "bad"
    assert "nothing is minted since 2027-01-15T08:00:00Z: it has" in text
    assert "(epoch 3); targets where something may be left: 2" in text
    assert "\x1b" not in text
    assert "store-restored" not in told(tell_targets((), status(brokers=1, epoch=3)))


def test_who_listens_is_known_by_the_kernels_word(tmp_path: Path) -> None:
    place = tmp_path / "broker.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        one.bind(str(place))
        assert see_broker(place).trouble
        one.listen()
        seen = see_broker(place)
    assert (seen.uid, seen.trouble) == (os.geteuid(), "")
    assert seen.hidden is (False if os.geteuid() else None)


def test_a_process_is_hidden_where_its_files_are_not_its_own_accounts(tmp_path: Path) -> None:
    file = tmp_path / "environ"
    file.touch()
    own = file.stat().st_uid
    if not own:
        own = 77_777
        os.chown(file, own, -1)
    assert (is_hidden(file, own), is_hidden(file, own + 1), is_hidden(file, 0)) == (False, True, None)
    assert is_hidden(tmp_path / "gone", own) is None


def test_who_has_no_target_is_told_of_no_broker_and_looking_starts_none(fresh: Installation) -> None:
    fresh.prepare()
    found = fresh("doctor", "--json").document["findings"]
    assert [one for one in found if one["about"] == "targets"] == []
    assert not (fresh.home / "broker").exists()


def test_overdue_revocations_are_bad_and_said_with_their_age() -> None:
    late = status(brokers=1, overdue_credentials=2, oldest_revocation=61)
    level, text = told(tell_targets((), late))["overdue"]
    assert (level, "2 revocations are overdue, the oldest for 61 s" in text) == ("bad", True)


@pytest.mark.parametrize(
    ("what", "name"),
    [
        ({"state": "refused", "trouble": "no\x1b[31m route"}, "target-refused"),
        ({"state": "untested"}, "target-untested"),
        ({"state": "ready", "trouble": "no route"}, "target-trouble"),
    ],
)
def test_a_target_that_gives_nothing_or_whose_last_test_failed_is_named_with_what_was_met(
    what: dict[str, str], name: str
) -> None:
    level, text = told(tell_targets((target(**what),), status(brokers=1)))[name]
    assert (level, "`orders-db`" in text, "\x1b" in text) == ("warn", True, False)
    assert ("route" in text) is ("trouble" in what)
    assert name not in told(tell_targets((target(),), status(brokers=1)))


def test_a_machine_without_ssh_is_bad_where_there_are_hosts_and_says_which() -> None:
    hosts = (host("build"), host("site\x1b[31m"), target())
    level, text = told(tell_hosts(hosts, client_is_there=False))["ssh-client"]
    assert (level, "`build`" in text, "\x1b" in text, "orders-db" in text) == ("bad", True, False, False)
    assert told(tell_hosts(hosts, client_is_there=True)) == {}
    assert told(tell_hosts((target(),), client_is_there=False)) == {}


@pytest.mark.parametrize(
    ("kind", "name", "why"),
    [
        ("openssh", "no-helper", "has no helper"),
        ("openbao", "not-seen", "(`seen_in`)"),
        ("another", "not-revocable", "has no means"),
    ],
)
def test_i08_where_nothing_is_ended_before_its_time_that_is_said_each_time_with_until_when(
    kind: str, name: str, why: str
) -> None:
    row = target(name="odd\x1b[31m", kind=kind, revocable=False, kinds=(SHORT, LONG))
    level, text = told(tell_lasting((row, target())))[name]
    assert (level, why in text, "cannot be revoked" in text, "\x1b" in text) == ("warn", True, True, False)
    assert ("at most 900 s after" in text, "none of it may be in use now" in text) == (True, True)
    for left, said in ((1, "1 credential may be in use until 2026-11-28"), (2, "2 credentials may")):
        row = target(kind=kind, revocable=False, left=left, left_until=1_795_860_000_000_000)
        assert said in told(tell_lasting((row,)))[name][1]


def test_i08_what_a_target_that_ends_all_left_to_its_own_end_is_said_as_long_as_it_lasts() -> None:
    row = target(left=1, left_until=1_795_860_000_000_000)
    assert told(tell_lasting((row,)))["not-revocable"][0] == "warn"
    assert told(tell_lasting((target(),))) == {}

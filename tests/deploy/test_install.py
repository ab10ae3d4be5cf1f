from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.deploy.layout import DEPLOY, folders, read_unit

INSTALL = DEPLOY / "install"
UNITS = ("taskbound-api", "taskbound-broker", "taskbound-daemon", "taskbound-egress", "taskbound-signer")
CONFINED = {
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateNetwork": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "RestrictAddressFamilies": "AF_UNIX",
    "RestrictNamespaces": "yes",
    "RestrictSUIDSGID": "yes",
    "MemoryDenyWriteExecute": "yes",
    "LockPersonality": "yes",
    "SystemCallArchitectures": "native",
    "LimitCORE": "0",
    "UMask": "0077",
}


OPENED: dict[str, dict[str, str | None]] = {
    "taskbound-egress": {
        "PrivateNetwork": None,
        "RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6",
        "MemoryDenyWriteExecute": None,
    },
    "taskbound-broker": {"PrivateNetwork": None, "RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6"},
    "taskbound-api": {"PrivateNetwork": None, "RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6"},
}
"""What a unit can't be kept from, for the servers that it runs, or since it speaks over the network."""


def told(*flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([INSTALL, *flags], capture_output=True, text=True, check=False, timeout=60)


def test_the_script_is_one_that_any_shell_reads() -> None:
    assert INSTALL.read_text(encoding="utf-8").startswith("#!/bin/sh\n")
    assert subprocess.run(["sh", "-n", INSTALL], check=False).returncode == 0


@pytest.mark.parametrize("flags", [(), ("--no-systemd",), ("--uninstall",), ("--uninstall", "--purge")])
def test_a_dry_run_says_each_step_and_takes_none(flags: tuple[str, ...]) -> None:
    places = [Path("/opt/taskbound"), Path("/etc/taskbound"), *(Path(path) for path, *_ in folders())]
    before = [place.exists() for place in places]
    seen = told("--dry-run", *flags)
    assert seen.returncode == 0, seen.stderr
    lines = seen.stdout.splitlines()
    assert lines
    assert all(line.startswith(("would run: ", "would write: ")) for line in lines)
    assert [place.exists() for place in places] == before


@pytest.mark.parametrize(
    ("flags", "word"),
    [(("--porge",), "no option"), (("--purge",), "--uninstall"), (("--uninstall", "--purge"), "--yes")],
)
def test_what_can_not_be_meant_is_refused(flags: tuple[str, ...], word: str) -> None:
    seen = subprocess.run(
        [INSTALL, *flags], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert seen.returncode == 1
    assert word in seen.stderr


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_confines_its_process(unit: str) -> None:
    told = read_unit(unit)
    assert {name: told.get(name) for name in CONFINED} == CONFINED | OPENED.get(unit, {})
    filters = re.findall(
        r"^SystemCallFilter=(.*)$", (DEPLOY / "systemd" / f"{unit}.service").read_text("utf-8"), re.MULTILINE
    )
    resources = "" if unit == "taskbound-egress" else " @resources"
    assert filters[:2] == ["@system-service", f"~@privileged{resources}"]
    assert filters[2:] == ([] if unit in {"taskbound-api", "taskbound-signer"} else ["@chown"])


def test_each_process_has_an_account_of_its_own_and_reaches_only_its_own_folders() -> None:
    units = [read_unit(unit) for unit in UNITS]
    assert len({one["User"] for one in units}) == len(UNITS)
    paths = [path for one in units for path in one["ReadWritePaths"].split()]
    assert sorted(paths) == sorted(path for path, *_ in folders())


def test_an_installed_signer_makes_no_key_and_both_have_one_name_for_the_log() -> None:
    _, broker, daemon, egress, signer = (read_unit(unit) for unit in UNITS)
    assert "--create" not in signer["ExecStart"] + egress["ExecStart"] + broker["ExecStart"]
    assert daemon["EnvironmentFile"] == signer["EnvironmentFile"]
    assert "--origin ${ORIGIN}" in re.sub(r"\s+", " ", daemon["ExecStart"])
    assert "--origin ${ORIGIN}" in re.sub(r"\s+", " ", signer["ExecStart"])
    for word in ("--issuer ${ISSUER}", "--database /var/lib/taskbound-store/taskbound.db"):
        assert word in re.sub(r"\s+", " ", daemon["ExecStart"])
        assert word in re.sub(r"\s+", " ", signer["ExecStart"])


def test_every_account_and_group_of_the_units_and_folders_is_made() -> None:
    text = (DEPLOY / "sysusers.d" / "taskbound.conf").read_text(encoding="utf-8")
    made = set(re.findall(r"^[ug]\s+(\S+)", text, re.MULTILINE))
    units = [read_unit(unit) for unit in UNITS]
    named = {one["User"] for one in units} | {one["Group"] for one in units} | {"taskbound-clients"}
    named |= {name for _, _, owner, group in folders() for name in (owner, group)} - {"root"}
    assert named == made
    members = re.findall(r"^m\s+(\S+)\s+(\S+)", text, re.MULTILINE)
    assert sorted(members) == sorted(
        (one["User"], group) for one in units for group in one.get("SupplementaryGroups", "").split()
    )

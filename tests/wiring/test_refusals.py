from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
import pytest

from taskbound.wire.action import Decide, Malformed, Refused
from taskbound.wire.audit import ExportAudit, ExportPage
from taskbound.wire.connection import Done
from taskbound.wiring.home import find_socket, make_home
from taskbound.wiring.settings import BadSettingError, read_settings
from taskbound.wiring.start import daemon_command
from tests.wiring.running import AGENT, client, daemon, placed, settle_in, until

if TYPE_CHECKING:
    from pathlib import Path

BROKEN = Malformed(code="not-json", message="no JSON", size=1, sha256="0" * 64)


def test_a_flood_of_refusals_is_one_record_when_the_daemon_has_ended(tmp_path: Path) -> None:
    home = tmp_path / "home"
    make_home(home)
    with daemon(home, "--refusals-burst", "3", "--refusals-rate", "1"):
        settle_in(find_socket(home), tmp_path)
        with client(find_socket(home), "gateway", AGENT) as gateway:
            for _ in range(4):
                gateway.ask(BROKEN, Done)
            codes = [
                gateway.ask(
                    Decide(tool="echo__none", arguments=msgspec.Raw(b"{}"), request=str(number)), Refused
                ).code
                for number in range(40)
            ]
    assert "too-many-refusals" in codes
    with daemon(home):
        until(lambda: placed(find_socket(home)), "every record has its place")
        with client(find_socket(home)) as person:
            records = person.ask(ExportAudit(limit=5000), ExportPage).records
    events = [json.loads(one)["event"] for one in records]
    told = [one for one in events if one["kind"] == "refusals-dropped"]
    assert sum(one["count"] for one in told) == codes.count("too-many-refusals") + 1
    assert any(code.startswith("not-json=") for one in told for code in one["codes"])


def test_the_daemon_is_started_with_the_allowance_of_the_settings(tmp_path: Path) -> None:
    (tmp_path / "taskbound.toml").write_text("refusals_burst = 7\nrefusals_rate = 2\n", encoding="utf-8")
    (tmp_path / "taskbound.toml").chmod(0o600)
    command = " ".join(daemon_command(tmp_path))
    assert "--refusals-burst 7 --refusals-rate 2" in command


@pytest.mark.parametrize("told", ["0", "-1", "100001", "true", '"7"', "1.5"])
def test_an_allowance_that_is_no_number_within_bounds_is_refused(tmp_path: Path, told: str) -> None:
    (tmp_path / "taskbound.toml").write_text(f"refusals_burst = {told}\n", encoding="utf-8")
    (tmp_path / "taskbound.toml").chmod(0o600)
    with pytest.raises(BadSettingError, match="refusals_burst"):
        read_settings(tmp_path, {})

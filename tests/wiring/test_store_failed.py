from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import msgspec

from taskbound.sdk.client import DaemonLostError, RefusedByDaemonError
from taskbound.wire.action import Decide, Refused
from taskbound.wire.audit import ExportAudit, ExportPage
from taskbound.wiring.home import find_socket, make_home
from taskbound.wiring.start import ensure_daemon
from tests.wiring.running import AGENT, Running, client, end_daemon, settle_in, start_task, status

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.sdk.client import Client

# Runs the daemon on a disk whose next sync fails once the file named first is there.
FAILING = """
import sys
from functools import partial
from pathlib import Path
from taskbound.adapters.store import sql
from taskbound.adapters.store.sql.sqlite.driver import driver
from taskbound.wiring import daemon

flag = Path(sys.argv[1])

class Failing(driver.Connection):
    def execute(self, text, values=()):
        if text == "COMMIT" and flag.exists():
            error = driver.OperationalError("disk I/O error")
            error.sqlite_errorcode = 10
            raise error
        return super().execute(text, values)

sql.SqlStore = partial(sql.SqlStore, machine=sql.Machine(factory=Failing))
sys.exit(daemon.main(sys.argv[5:]))
"""
CALL = msgspec.Raw(b'{"text":"a"}')


def refusal(gateway: Client, request: str) -> str:
    """The code of the refusal of one call, whichever process is the one to refuse it."""
    try:
        return gateway.ask(Decide(tool="echo__say", arguments=CALL, request=request), Refused).code
    except RefusedByDaemonError as error:
        return error.fault.code
    except DaemonLostError as error:
        return error.code


def test_a_daemon_whose_disk_failed_says_so_and_ends_and_the_next_client_starts_another(
    tmp_path: Path,
) -> None:
    home, flag = tmp_path / "home", tmp_path / "flag"
    make_home(home)
    failing = Running("daemon", "--home", str(home), python=(sys.executable, "-c", FAILING, str(flag)))
    with failing:
        settle_in(find_socket(home), tmp_path)
        with client(find_socket(home), "gateway", AGENT) as gateway:
            flag.touch()
            assert refusal(gateway, "1") == "disk-failed"
            assert failing.wait() == 5
        assert "the store failed, and this process ends" in failing.words
        assert "mend the disk" in failing.words
    ensure_daemon(home)
    try:
        found = status(find_socket(home))
        assert found.pid != failing.process.pid
        with client(find_socket(home)) as person:
            records = person.ask(ExportAudit(limit=5000), ExportPage).records
            assert not any("echo__say" in one and "action-decided" in one for one in map(str, records))
            start_task(person)
    finally:
        end_daemon(home)

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from taskbound.core.identity.selector import BadTrustDomainError
from taskbound.wiring.address import BadAddressError
from taskbound.wiring.home import ForeignHomeError, make_home, require_own_home
from taskbound.wiring.settings import BadSettingError, Settings, read_settings, unknown_variables
from taskbound.wiring.start import daemon_command

if TYPE_CHECKING:
    from collections.abc import Iterator

SOMEBODY = 65534


@pytest.fixture
def foreign() -> Iterator[Path]:
    """Another account's private directory: root's, and root becomes somebody else for it."""
    if os.geteuid() != 0:
        yield Path("/root")
        return
    folder = Path(tempfile.mkdtemp())
    os.seteuid(SOMEBODY)
    try:
        yield folder
    finally:
        os.seteuid(0)
        folder.rmdir()


def written(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "taskbound.toml"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return folder


def test_without_file_and_variables_every_setting_has_its_default(tmp_path: Path) -> None:
    assert read_settings(tmp_path, {}) == Settings()


def test_the_daemon_is_told_how_the_gateway_over_http_is_known(tmp_path: Path) -> None:
    command = daemon_command(written(tmp_path, 'gateway_origin = "https://gate.example:443/"\n'))
    assert command[command.index("--gateway-origin") + 1] == "https://gate.example"
    with pytest.raises(BadAddressError, match="nothing more"):
        read_settings(written(tmp_path, 'gateway_origin = "https://gate.example/mcp"\n'), {})


def test_the_daemon_is_told_whose_documents_may_be_in_a_network_of_ones_own(tmp_path: Path) -> None:
    command = daemon_command(written(tmp_path, 'private_clients = "apps.corp.example  b.example"\n'))
    assert command[command.index("--private-clients") + 1] == "apps.corp.example b.example"
    for wrong in ("https://apps.corp.example", "Apps.example", "a,b", "-x", "a..b"):
        with pytest.raises(BadAddressError, match="in lower case"):
            read_settings(written(tmp_path, f'private_clients = "{wrong}"\n'), {})


def test_the_daemon_is_told_for_whom_transaction_tokens_are(tmp_path: Path) -> None:
    command = daemon_command(written(tmp_path, 'trust_domain = "corp.example"\n'))
    assert command[command.index("--trust-domain") + 1] == "corp.example"
    assert "--trust-domain" not in daemon_command(written(tmp_path, ""))
    for wrong in ("spiffe://corp.example", "Corp.example", "corp.example/", " ", "a,b"):
        with pytest.raises(BadTrustDomainError, match="is no trust domain"):
            read_settings(written(tmp_path, f'trust_domain = "{wrong}"\n'), {})


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    home = written(tmp_path, 'namespace = "a"\nagent = "x"\nautostart = false\n')
    seen = read_settings(home, {"TASKBOUND_NAMESPACE": "b", "TASKBOUND_AUTOSTART": "true"})
    assert (seen.namespace, seen.agent, seen.autostart) == ("b", "x", True)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('nmespace = "a"\n', "no setting `nmespace`"),
        ("[server]\nport = 1\n", "no setting `server`"),
        ('agent = "a"\nagent = "b"\n', "is no TOML"),
        ("autostart = no\n", "is no TOML"),
        ('autostart = "no"\n', "true or false"),
        ("agent = 1\n", "is a text"),
        ("hold_seconds = 601\n", "from 0 to 600"),
        ("hold_seconds = -1\n", "from 0 to 600"),
        ("hold_seconds = true\n", "from 0 to 600"),
        ("hold_seconds = 4.5\n", "from 0 to 600"),
        ('hold_seconds = "45"\n', "from 0 to 600"),
        ('log_level = "loud"\n', "one of debug"),
        ("\x00", "is no TOML"),
        ('store = "sqlite:///x"\n', "begins with `postgresql://`"),
        ('store = "host=db dbname=taskbound"\n', "begins with `postgresql://`"),
        ('store = "postgresql://ann:secret@db/taskbound"\n', "holds a password"),
        ('store = "postgresql://db/taskbound?password=secret"\n', "holds a password"),
        ('store = "postgresql://[db/taskbound"\n', "can't be read"),
    ],
)
def test_a252_a_setting_that_can_not_be_is_refused(tmp_path: Path, text: str, part: str) -> None:
    with pytest.raises(BadSettingError, match=part):
        read_settings(written(tmp_path, text), {})


def test_a252_a_settings_file_that_is_no_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taskbound.toml").write_bytes(b'agent = "\xff"\n')
    with pytest.raises(BadSettingError, match="is no TOML"):
        read_settings(tmp_path, {})


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a252_a_settings_file_that_others_can_write_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(BadSettingError, match="others can write"):
        read_settings(written(tmp_path, 'agent = "a"\n', mode), {})


def test_a252_a_settings_file_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = written(tmp_path, 'agent = "a"\n')
    if os.geteuid() == 0:
        os.chown(home / "taskbound.toml", 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(BadSettingError, match="others can write"):
        read_settings(home, {})


@pytest.mark.parametrize("text", ["no", "1", "True", ""])
def test_a252_a_switch_in_the_environment_is_true_or_false(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadSettingError, match="TASKBOUND_AUTOSTART"):
        read_settings(tmp_path, {"TASKBOUND_AUTOSTART": text})


def test_a_database_without_a_password_is_a_store(tmp_path: Path) -> None:
    home = written(tmp_path, 'store = "postgresql://db.example/taskbound?sslmode=verify-full"\n')
    assert read_settings(home, {}).store == "postgresql://db.example/taskbound?sslmode=verify-full"


def test_a_daemon_is_started_on_the_store_of_its_file(tmp_path: Path) -> None:
    home = written(tmp_path, 'store = "postgresql:///taskbound"\n')
    assert daemon_command(home)[-2:] == ("--store", "postgresql:///taskbound")


def test_a_misspelled_variable_is_named() -> None:
    environ = {"TASKBOUND_AGNET": "a", "TASKBOUND_AGENT": "a", "TASKBOUND_HOME": "/x", "PATH": "/bin"}
    assert unknown_variables(environ) == ("TASKBOUND_AGNET",)


def test_a_private_directory_of_another_account_is_said_to_be_theirs_and_no_bad_setting(
    foreign: Path,
) -> None:
    for look in (lambda: read_settings(foreign, {}), lambda: require_own_home(foreign)):
        with pytest.raises(ForeignHomeError, match="is not yours: it belongs to `root`") as caught:
            look()
        assert "--home" in caught.value.advice


def test_a_directory_that_can_not_be_made_beneath_another_accounts_says_where(foreign: Path) -> None:
    with pytest.raises(ForeignHomeError, match="can't be made") as caught:
        make_home(foreign / "data")
    assert "--home" in caught.value.advice


def test_a_directory_that_can_not_even_be_looked_at_is_no_bad_setting(foreign: Path) -> None:
    with pytest.raises(ForeignHomeError, match="can't be reached: Permission denied"):
        read_settings(foreign / "data", {})


@pytest.mark.parametrize("seconds", [0, 7, 600])
def test_how_long_a_held_call_waits_is_said_in_the_file_or_the_environment(
    seconds: int, tmp_path: Path
) -> None:
    home = written(tmp_path, "hold_seconds = 30\n")
    assert read_settings(home, {}).hold_seconds == 30
    assert read_settings(home, {"TASKBOUND_HOLD_SECONDS": str(seconds)}).hold_seconds == seconds
    for wrong in ("", "-1", "1e1", "\u0661", "601"):
        with pytest.raises(BadSettingError):
            read_settings(home, {"TASKBOUND_HOLD_SECONDS": wrong})

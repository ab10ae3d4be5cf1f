from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from taskbound.sdk import ssh
from taskbound.sdk.wish import TaskCredential

PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEf9"
OPEN = {
    "SSH_HOST": "build.example",
    "SSH_PORT": "2222",
    "SSH_USER": "deploy",
    "SSH_CERTIFICATE": f"ssh-ed25519-cert-v01@openssh.com {'A' * 40} tb_x",
    "SSH_HOST_KEYS": f"{PUBLIC}\n{PUBLIC}AAAA",
}
SECRET = {"SSH_PRIVATE_KEY": "kanarienvogel-9f8e7d6c"}
FOLDER = Path("/run/user/1000/taskbound-ssh-x1_z")


def credential(
    opens: dict[str, str] | None = None, secret: dict[str, str] | None = None, target: str = "build-host"
) -> TaskCredential:
    return TaskCredential(
        id="crd_1",
        target=target,
        kind="deploy",
        ends=1_000,
        open=OPEN if opens is None else opens,
        secret=SECRET if secret is None else secret,
    )


def test_what_has_a_certificate_or_a_key_of_ssh_is_of_a_host_and_nothing_else_is() -> None:
    assert ssh.is_of_host(credential())
    assert ssh.is_of_host(credential({"SSH_CERTIFICATE": "x"}, {}))
    assert ssh.is_of_host(credential({}, SECRET))
    assert ssh.is_of_host(credential(SECRET, {}))
    assert ssh.is_of_host(credential({}, {"SSH_CERTIFICATE": "x"}))
    assert not ssh.is_of_host(credential({"PGHOST": "db", "SSH_HOST": "x"}, {"PGPASSWORD": "x"}))


def test_credentials_of_no_host_are_left_out() -> None:
    database = credential({"PGHOST": "db"}, {"PGPASSWORD": "x"}, "orders-db")
    assert [one.name for one in ssh.parse_hosts([database, credential()])] == ["build-host"]


@pytest.mark.parametrize("name", [*OPEN, "SSH_PRIVATE_KEY"])
def test_one_that_lacks_a_part_is_refused(name: str) -> None:
    opens = {one: value for one, value in OPEN.items() if one != name}
    secret = {one: value for one, value in SECRET.items() if one != name}
    with pytest.raises(ssh.BadSshCredentialError):
        ssh.parse_hosts([credential(opens, secret)])


@pytest.mark.parametrize(
    ("opens", "secret"),
    [
        ({**OPEN, "PATH": "/x"}, SECRET),
        ({**OPEN, "SSH_AUTH_SOCK": "/x"}, SECRET),
        (OPEN, {**SECRET, "PGPASSWORD": "x"}),
        ({**OPEN, **SECRET}, SECRET),
        ({**OPEN, **SECRET}, {}),
    ],
)
def test_one_that_has_more_is_refused(opens: dict[str, str], secret: dict[str, str]) -> None:
    with pytest.raises(ssh.BadSshCredentialError):
        ssh.parse_hosts([credential(opens, secret)])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SSH_HOST", "-oProxyCommand=x"),
        ("SSH_HOST", "build.example\n    ProxyCommand touch /x"),
        ("SSH_HOST", "build example"),
        ("SSH_HOST", "%h"),
        ("SSH_HOST", ""),
        ("SSH_HOST", "$HOME"),
        ("SSH_PORT", "0"),
        ("SSH_PORT", "65536"),
        ("SSH_PORT", "22\n"),
        ("SSH_PORT", "٢٢"),
        ("SSH_PORT", "022"),
        ("SSH_USER", "-l"),
        ("SSH_USER", "a b"),
        ("SSH_USER", "a\nProxyCommand x"),
        ("SSH_USER", "%u"),
        ("SSH_USER", "${HOME}"),
        ("SSH_CERTIFICATE", ""),
        ("SSH_CERTIFICATE", f"{OPEN['SSH_CERTIFICATE']}\n{PUBLIC}"),
        ("SSH_CERTIFICATE", "ssh-ed25519-cert-v01@openssh.com !"),
        ("SSH_HOST_KEYS", ""),
        ("SSH_HOST_KEYS", f"{PUBLIC}\n"),
        ("SSH_HOST_KEYS", f"@cert-authority * {PUBLIC}"),
        ("SSH_HOST_KEYS", f"* {PUBLIC}"),
        ("SSH_HOST_KEYS", f"{PUBLIC}\r\n{PUBLIC}"),
    ],
)
def test_what_could_be_more_than_it_stands_for_is_refused_and_no_error_says_the_key(
    name: str, value: str
) -> None:
    with pytest.raises(ssh.BadSshCredentialError) as refused:
        ssh.parse_hosts([credential({**OPEN, name: value})])
    assert "kanarienvogel" not in refused.value.message


@pytest.mark.parametrize("value", ["10.0.0.7", "::1", "fe80::1", "a", "build-1.example"])
def test_a_host_is_a_name_or_an_address(value: str) -> None:
    assert ssh.parse_hosts([credential({**OPEN, "SSH_HOST": value})])[0].host == value


def test_two_of_one_target_would_have_one_name() -> None:
    with pytest.raises(ssh.SameHostError):
        ssh.parse_hosts([credential(), credential()])


def test_i11_no_file_and_no_variable_has_the_key() -> None:
    hosts = ssh.parse_hosts([credential(), credential(target="other")])
    assert "kanarienvogel" not in repr(hosts)
    assert "kanarienvogel" not in repr(ssh.render_files(FOLDER, hosts))
    assert "kanarienvogel" not in repr(ssh.render_variables(FOLDER, hosts[:1]))


def test_what_a_variable_can_say_of_one_host_alone_is_not_said_of_two() -> None:
    hosts = ssh.parse_hosts([credential(), credential(target="other")])
    both = {"SSH_AUTH_SOCK": f"{FOLDER}/agent", "SSH_CONFIG": f"{FOLDER}/config"}
    assert ssh.render_variables(FOLDER, hosts) == both
    one = {"SSH_HOST": "build.example", "SSH_PORT": "2222", "SSH_USER": "deploy"}
    assert ssh.render_variables(FOLDER, hosts[:1]) == both | one


@pytest.mark.parametrize("path", ["/a b", '/a"', "/%h", "/${HOME}", "/a\nb", "relative", "/a\\b"])
def test_a_folder_that_ssh_would_read_as_another_is_refused(path: str) -> None:
    with pytest.raises(ssh.BadSshCredentialError):
        ssh.render_files(Path(path), ssh.parse_hosts([credential()]))


def test_ssh_reads_of_the_configuration_what_it_is_to_do_for_each_host(tmp_path: Path) -> None:
    hosts = ssh.parse_hosts([credential(), credential({**OPEN, "SSH_HOST": "::1"}, target="other")])
    files = ssh.render_files(tmp_path, hosts)
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert files["known_hosts"].splitlines() == [
        f"build-host {PUBLIC}",
        f"build-host {PUBLIC}AAAA",
        f"other {PUBLIC}",
        f"other {PUBLIC}AAAA",
    ]
    wanted = {
        "hostname": "build.example",
        "port": "2222",
        "user": "deploy",
        "hostkeyalias": "build-host",
        "userknownhostsfile": f"{tmp_path}/known_hosts",
        "globalknownhostsfile": "/dev/null",
        "stricthostkeychecking": "true",
        "updatehostkeys": "false",
        "identityagent": f"{tmp_path}/agent",
        "identityfile": f"{tmp_path}/build-host-cert.pub",
        "identitiesonly": "yes",
        "preferredauthentications": "publickey",
        "batchmode": "yes",
        "forwardagent": "no",
        "permitlocalcommand": "no",
    }
    assert wanted.items() <= understood(tmp_path, "build-host").items()
    assert understood(tmp_path, "other")["hostname"] == "::1"
    assert understood(tmp_path, "elsewhere")["port"] == "22"


def understood(folder: Path, host: str) -> dict[str, str]:
    """What ssh takes from the configuration for this host, by small names."""
    command = ["ssh", "-G", "-F", str(folder / "config"), host]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return dict(line.split(" ", 1) for line in said.splitlines() if " " in line)

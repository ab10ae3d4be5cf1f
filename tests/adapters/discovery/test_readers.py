"""Each format: what is a finding there, what is none, and what a hostile file does."""

from __future__ import annotations

import json
import subprocess
import time
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.discovery import documents, lines, sections
from taskbound.adapters.discovery.ssh_keys import read_ssh_key
from taskbound.core.credential.static import Hit, SecretKind, Worth

if TYPE_CHECKING:
    from taskbound.core.credential.static import Reader

W = "canary-w0rd"
GITHUB = "ghp_" + "c" * 36
VAULT = lines.whole("Vault token", SecretKind.VAULT)
NAMED = "secret, by its name"
FORGE = "token of a host of repositories"
CLUSTER = "login of a Kubernetes cluster"
MYSQL = "MySQL password for this machine"
REGISTRY = "login of a registry"
TERRAFORM = {"credentials": {"h": {"token": W}}}
MACRO = f"macdef x\nmachine no password no\n\nmachine h password {W}"
PYPIRC = f"[pypi]\nusername: __token__\npassword: {W}"


def seen(read: Reader, text: str) -> list[Hit]:
    found = list(read(text))
    assert not any(W in repr(one) or GITHUB in repr(one) for one in found), "a secret is told"
    return found


def places(found: list[Hit]) -> list[tuple[int, str, str]]:
    return [(one.line, one.member, one.what) for one in found]


POSITIVE: list[tuple[Reader, str, list[tuple[int, str, str]]]] = [
    (lines.read_pgpass, f"# c\nh:1:d:u:{W}\n", [(2, "", "PostgreSQL password for h:1/d u")]),
    (lines.read_pgpass, f"*:*:*:u:{W}", [(1, "", "PostgreSQL password for *:*/* u")]),
    (lines.read_pgpass, rf"h\:1:2:d\\:u:{W}", [(1, "", "PostgreSQL password")]),
    (lines.read_pgpass, f"h:d:u:pa:{W}", [(1, "", "PostgreSQL password")]),
    (lines.read_pgpass, f"h:1:d:u:pa:{W}", [(1, "", "PostgreSQL password")]),
    (lines.read_pgpass, f"h:{W}", [(1, "", "line that is none of such a file")]),
    (lines.read_netrc, f"machine h login u password {W}", [(1, "", "password for h")]),
    (
        lines.read_netrc,
        f"machine h\n login u\n password {W}\ndefault password {W}",
        [(3, "", "password for h"), (4, "", "password for any other host")],
    ),
    (lines.read_netrc, MACRO, [(4, "", "password for h")]),
    (lines.read_git_credentials, f"https://u:{W}@h\nhttps://u@h\n", [(1, "", "password for h")]),
    (lines.read_git_credentials, f"https://{GITHUB}:x-oauth@h", [(1, "", "GitHub token")]),
    (lines.read_npmrc, f"//r.example/:_authToken={W}", [(1, "", "npm token for r.example")]),
    (lines.read_npmrc, f'; c\n_auth = "{W}"\n_password={W}', [(2, "", "npm token"), (3, "", "npm token")]),
    (lines.read_environment, f"API_TOKEN={W}", [(1, "API_TOKEN", NAMED)]),
    (lines.read_environment, f"export PGPASSWORD='{W}' # c", [(1, "PGPASSWORD", "PostgreSQL password")]),
    (lines.read_environment, "PGPASSWORD='$ecret'", [(1, "PGPASSWORD", "PostgreSQL password")]),
    (
        lines.read_environment,
        f'A=1 B_TOKEN="{W}"; C_TOKEN={W} cmd',
        [(1, "B_TOKEN", NAMED), (1, "C_TOKEN", NAMED)],
    ),
    (lines.read_environment, f"set -gx GH_TOKEN {W}", [(1, "GH_TOKEN", FORGE)]),
    (lines.read_environment, f"# GH={GITHUB}", [(1, "", "GitHub token in a comment")]),
    (lines.read_environment, f"U=postgres://a:{W}@h/d", [(1, "U", "PostgreSQL password for h/d a")]),
    (lines.read_environment, f"U=postgres://a:{W}@part&part@h/d", [(1, "U", "PostgreSQL password")]),
    (lines.read_environment, f"X={GITHUB}", [(1, "X", "GitHub token")]),
    (lines.read_environment, f"{GITHUB}=x\nTOKEN={W}", [(2, "TOKEN", NAMED)]),
    (lines.read_redisclirc, f":set hints\nAUTH u {W}", [(2, "", "Redis password")]),
    (
        lines.read_terraformrc,
        f'credentials "app.example" {{\n  token = "{W}"\n}}',
        [(2, "", "Terraform token for app.example")],
    ),
    (lines.read_terraformrc, f'credentials "a" {{ token = "{W}" }}', [(1, "", "Terraform token for a")]),
    (lines.read_tokens, "# made\nAGE-SECRET-KEY-1" + "Q" * 30, [(2, "", "age key")]),
    (VAULT, f"\n{W}\n", [(2, "", "Vault token")]),
    (
        sections.read_pg_service,
        f"[s]\nhost=h\npassword={W}\nuser=u\ndbname=d\n[t]\nhost=x",
        [(3, "[s] password", "PostgreSQL password for h/d u")],
    ),
    (sections.read_my_cnf, f'[client]\npassword = "{W}"\n', [(2, "[client] password", MYSQL)]),
    (
        sections.read_aws,
        f"[default]\naws_secret_access_key={W}\naws_session_token: {W}",
        [
            (2, "[default] aws_secret_access_key", "AWS secret key for default"),
            (3, "[default] aws_session_token", "AWS session token for default"),
        ],
    ),
    (
        sections.read_pypirc,
        f"[a={W}]\npassword={W}",
        [(2, "[(not shown)] password", "PyPI password for (not shown)")],
    ),
    (sections.read_pypirc, PYPIRC, [(3, "[pypi] password", "PyPI password for pypi")]),
    (documents.read_google, json.dumps({"refresh_token": W}), [(0, "refresh_token", "Google credentials")]),
    (documents.read_azure, json.dumps({"A": {"k": {"secret": W}}}), [(0, "A.k.secret", "Azure token")]),
    (documents.read_docker, json.dumps({"auths": {"r": {"auth": W}}}), [(0, "auths.r.auth", REGISTRY)]),
    (documents.read_terraform_json, json.dumps(TERRAFORM), [(0, "credentials.h.token", "Terraform token")]),
    (
        documents.read_kube,
        f"users:\n- name: a\n  user:\n    token: {W}\n    client-key-data: {W}\n",
        [
            (4, "users[0].user.token", CLUSTER),
            (5, "users[0].user.client-key-data", CLUSTER),
        ],
    ),
    (documents.read_forge, f"h:\n    oauth_token: {W}\n    user: ann\n", [(2, "h.oauth_token", FORGE)]),
]


@pytest.mark.parametrize(("read", "text", "wanted"), POSITIVE, ids=range(len(POSITIVE)))
def test_a_secret_is_found_where_its_format_has_it_and_not_told(
    read: Reader, text: str, wanted: list[tuple[int, str, str]]
) -> None:
    assert places(seen(read, text)) == wanted


NEGATIVE: list[tuple[Reader, str]] = [
    (lines.read_pgpass, "# h:1:d:u:w\n\nh:1:d:u:\n"),
    (lines.read_netrc, "machine h login u\n# machine h password w\nmachine h account password\n"),
    (lines.read_git_credentials, "https://ann@h\nhttps://h\n"),
    (lines.read_npmrc, "registry=https://r\n//r/:_authToken=${NPM_TOKEN}\n_authToken=\n"),
    (lines.read_environment, "PATH=/bin\nTOKEN=$OTHER\nTOKEN=${OTHER}\nTOKEN=$(pass x)\nTOKEN=`x`\nTOKEN=\n"),
    (lines.read_environment, 'PASSWORD="$(pass show "x")"\nif [ "$TOKEN" = x ]; then\n  echo TOKEN=w\nfi\n'),
    (lines.read_redisclirc, ":set hints\n"),
    (lines.read_terraformrc, 'credentials_helper "h" {}\nprovider_installation {}\n'),
    (lines.read_tokens, "# public key: age1qqqq\n"),
    (VAULT, "\n \n"),
    (sections.read_pg_service, "[s]\nhost=h\nuser=u\n# password=w\npassfile=/x\n"),
    (sections.read_my_cnf, "[client]\nuser=u\npassword=\n"),
    (sections.read_aws, "[p]\naws_access_key_id=AKIA\ncredential_process=/bin/x\nrole_arn=r\n"),
    (sections.read_pypirc, "[pypi]\nusername=u\n"),
    (documents.read_google, '{"type": "external_account", "token_url": "https://x"}'),
    (documents.read_azure, "{}"),
    (documents.read_docker, '{"auths": {"r": {}}, "credsStore": "secretservice"}'),
    (documents.read_terraform_json, '{"credentials": {"h": {}}}'),
    (
        documents.read_kube,
        "users:\n- user:\n    exec: {command: x}\n    tokenFile: /x\ncontexts: [{token: w}]\n",
    ),
    (documents.read_forge, "h:\n  user: ann\n  git_protocol: ssh\n"),
]


@pytest.mark.parametrize(("read", "text"), NEGATIVE, ids=range(len(NEGATIVE)))
def test_what_only_refers_to_a_secret_or_has_none_is_no_finding(read: Reader, text: str) -> None:
    assert seen(read, text) == []


PLACEHOLDERS: list[tuple[Reader, str]] = [
    (lines.read_pgpass, "h:1:d:u:changeme"),
    (lines.read_environment, "TOKEN=<token>"),
    (lines.read_npmrc, "_authToken=your-token-here"),
    (lines.read_git_credentials, "https://u:changeme@h"),
    (sections.read_aws, "[p]\naws_secret_access_key=REPLACE_ME"),
    (documents.read_docker, '{"auths": {"r": {"auth": "<auth>"}}}'),
]


@pytest.mark.parametrize(("read", "text"), PLACEHOLDERS, ids=range(len(PLACEHOLDERS)))
def test_what_is_to_be_filled_in_is_marked_as_that(read: Reader, text: str) -> None:
    assert [one.worth for one in seen(read, text)] == [Worth.PLACEHOLDER]


ALL: list[Reader] = [
    *dict.fromkeys([*(one for one, _, _ in POSITIVE), *(one for one, _ in NEGATIVE)]),
    read_ssh_key,
]
DEEP = 100_000


@pytest.mark.parametrize(
    "text",
    [
        *("", "\n" * 1000, "\r\r\r", "\ufeff", ":" * 9_000, "=" * 9_000, '"' * 9_001, "'" * 9_001),
        *("machine " * 5_000, "[" * DEEP, "{" * DEEP, "- " * 9_000, '{"a":' * 9_000, "[" + "1" * 9_000 + "]"),
        *("$(" * 30_000, "`" * 30_001, "${" * 30_000, "A=1 " * 30_000, "eyJ" * 30_000, " " * 60_000),
        *("a: &a [x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nusers: [*c,*c]\n", "\\" * 50_000, "a" * 200_000),
        "a: &a [*a]\n",
    ],
    ids=range(24),
)
def test_no_text_breaks_a_reader_keeps_it_busy_or_is_quoted_by_its_error(text: str) -> None:
    words = {"", "it is no JSON", "it is no YAML", "it is larger than what is looked through"}
    for read in ALL:
        begun, said = time.process_time(), ""
        try:
            list(read(text))
        except ValueError as error:
            said = str(error)
        assert said in words
        assert time.process_time() - begun < 3.0, read


def key(folder: Path, *words: str) -> str:
    path = folder / "key"
    path.unlink(missing_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-f", str(path), *words], check=True)
    return path.read_text(encoding="ascii")


@pytest.mark.parametrize(
    "words", [("-t", "ed25519"), ("-t", "ecdsa", "-m", "PEM"), ("-t", "ecdsa", "-m", "PKCS8")]
)
def test_a_key_without_a_passphrase_is_found_and_one_with_it_is_not(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    (found,) = read_ssh_key(key(tmp_path, *words, "-N", ""))
    assert (found.line, found.what) == (1, "SSH private key without a passphrase")
    assert list(read_ssh_key(key(tmp_path, *words, "-N", "a passphrase"))) == []


def kept_as(kind: str) -> str:
    """The beginning of a key in OpenSSH's format, without a passphrase."""

    def packed(raw: bytes) -> bytes:
        return len(raw).to_bytes(4, "big") + raw

    public = packed(packed(kind.encode()) + bytes(40))
    raw = b"openssh-key-v1\0" + packed(b"none") * 2 + packed(b"") + (1).to_bytes(4, "big") + public
    name = "OPENSSH " + "PRIVATE KEY"
    return f"-----BEGIN {name}-----\n{b64encode(raw).decode()}\n-----END {name}-----\n"


def test_a_key_of_a_device_and_what_is_no_key_is_none(tmp_path: Path) -> None:
    text = key(tmp_path, "-t", "ed25519", "-N", "")
    assert list(read_ssh_key(text[:60])) == []
    assert list(read_ssh_key((tmp_path / "key.pub").read_text(encoding="ascii"))) == []
    assert list(read_ssh_key(kept_as("sk-ssh-ed25519@openssh.com"))) == []
    assert len(list(read_ssh_key(kept_as("ssh-ed25519")))) == 1
    assert list(read_ssh_key("PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: aes256-cbc\n")) == []
    assert len(list(read_ssh_key("PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n"))) == 1


JDBC = f"mysql://u:p@h/d;password={W}"
BEHIND: list[tuple[Reader, str]] = [
    (sections.read_my_cnf, f"[client]\nhost = db # the old one was {W}\npassword = x"),
    (sections.read_pg_service, f"[a]\nhost=db user=app password={W}\npassword=x"),
    (sections.read_pg_service, f"[a]\nhost=db\nuser=app {W}\npassword=x"),
    (lines.read_pgpass, f"db:5432:orders:app {W}:x"),
    (lines.read_npmrc, f"//u:{W}@r.example/:_authToken=x"),
    (lines.read_netrc, f'machine h login u password "a machine {W} password b"'),
    (lines.read_environment, f'export DATABASE_URL="{JDBC}"'),
    (documents.read_kube, f"users:\n- user:{W} token:\n    password: x"),
    (documents.read_docker, json.dumps({"auths": {f"u:{W}@r.example": {"auth": "x"}}})),
]


@pytest.mark.parametrize(("read", "text"), BEHIND)
def test_what_stands_behind_a_place_in_a_line_that_is_not_written_as_it_should_is_not_told(
    read: Reader, text: str
) -> None:
    assert seen(read, text)

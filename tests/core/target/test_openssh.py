from __future__ import annotations

import json
import re
import shlex
import subprocess
from base64 import b64encode
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskbound.core.target import (
    BadAdminAccessError,
    BadKindError,
    BadParameterError,
    BadTargetError,
    OpensshAccess,
    OpensshKind,
    OpensshPlace,
    TargetFileError,
    kind_definition,
    parse_admin_access,
    parse_target_file,
    require_declarable,
)

KEY = "ssh-ed25519 " + b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(32)).decode()
WHOLE: dict[str, Any] = {
    "target": "build-host",
    "kind": "openssh",
    "where": {"host": "build.example", "port": 2222, "host_keys": [KEY], "helper": "root"},
    "owner": "ann",
    "approvers": ["bob"],
    "credentials": {
        "deploy": {
            "for": "Puts a release on the site.",
            "account": "deploy",
            "principals": ["deploy", "releases"],
            "command": ["/usr/local/bin/deploy", "--site", "{site}"],
            "source": ["10.0.0.0/8", "2001:db8::/32"],
            "allows": ["port-forwarding", "pty"],
            "seconds": 600,
            "effect": "write",
        },
        "look": {"for": "Looks around.", "account": "reader", "seconds": 60},
    },
}
PRIVATE = "-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----\n"
DEPLOY = OpensshKind(account="deploy", principals=("deploy",), command=("/bin/deploy", "{site}", "{to}"))


def changed(*steps: Any, to: Any) -> dict[str, Any]:
    whole = deepcopy(WHOLE)
    place: Any = whole
    for one in steps[:-1]:
        place = place[one]
    place[steps[-1]] = to
    return whole


def test_a_file_says_which_host_it_is_and_what_its_certificates_may_do() -> None:
    found = parse_target_file(json.dumps(WHOLE).encode())
    assert found.place == OpensshPlace(host="build.example", port=2222, host_keys=(KEY,), helper="root")
    deploy, look = found.credentials
    assert deploy.grants == OpensshKind(
        account="deploy",
        principals=("deploy", "releases"),
        command=("/usr/local/bin/deploy", "--site", "{site}"),
        source=("10.0.0.0/8", "2001:db8::/32"),
        allows=("port-forwarding", "pty"),
    )
    assert (deploy.parameters, look.parameters) == (("site",), ())
    assert look.grants == OpensshKind(account="reader", principals=("reader",))


def test_approvers_read_what_a_certificate_may_do() -> None:
    deploy, look = parse_target_file(WHOLE).credentials
    assert kind_definition(deploy).value["description"] == (
        "Puts a release on the site. [write: as `deploy`, runs `/usr/local/bin/deploy --site '{site}'` alone,"
        " from 10.0.0.0/8, 2001:db8::/32 alone, with port-forwarding, pty]"
    )
    assert (
        kind_definition(look).value["description"]
        == "Looks around. [destructive: as `reader`, runs anything]"
    )


@pytest.mark.parametrize(
    ("file", "where"),
    [
        (changed("where", "host", to="-oProxyCommand=x"), "where"),
        (changed("where", "host", to="a b"), "where"),
        (changed("where", "host", to="root@a"), "where"),
        (changed("where", "host", to="a/b"), "where"),
        (changed("where", "host", to=""), "where"),
        (changed("where", "port", to=0), "where.port"),
        (changed("where", "host_keys", to=[]), "where"),
        (changed("where", "host_keys", to=[KEY, KEY]), "where"),
        (changed("where", "host_keys", to=[f"{KEY} comment"]), "where"),
        (changed("where", "host_keys", to=[f"build.example {KEY}"]), "where"),
        (changed("where", "host_keys", to=[KEY.replace("ssh-ed25519", "ssh-rsa")]), "where"),
        (changed("where", "host_keys", to=["ssh-ed25519 !!!"]), "where"),
        (changed("where", "host_keys", to=[KEY.replace("ssh-ed25519", "ssh-dss")]), "where"),
        (changed("where", "helper", to="a b"), "where"),
        (changed("where", "database", to="x"), "where.database"),
        (changed("credentials", "look", "account", to="-root"), "credentials.look"),
        (changed("credentials", "look", "account", to="a\nb"), "credentials.look"),
        (changed("credentials", "look", "principals", to=[]), "credentials.look"),
        (changed("credentials", "look", "principals", to=["a,b"]), "credentials.look"),
        (changed("credentials", "look", "principals", to=["a", "a"]), "credentials.look"),
        (changed("credentials", "look", "source", to=["10.0.0.1/8"]), "credentials.look"),
        (changed("credentials", "look", "source", to=["*"]), "credentials.look"),
        (changed("credentials", "look", "source", to=["!10.0.0.0/8"]), "credentials.look"),
        (changed("credentials", "look", "source", to=["10.0.0.0/255.0.0.0"]), "credentials.look"),
        (changed("credentials", "look", "source", to=["10.0.0.0/0.255.255.255"]), "credentials.look"),
        (changed("credentials", "look", "source", to=["fe80::1%eth0"]), "credentials.look"),
        (changed("credentials", "look", "source", to=["::ffff:10.0.0.1"]), "credentials.look"),
        (changed("credentials", "look", "allows", to=["everything"]), "credentials.look"),
        (changed("credentials", "look", "allows", to=["pty", "X11-forwarding"]), "credentials.look"),
        (changed("credentials", "look", "command", to=["{program}"]), "credentials.look"),
        (changed("credentials", "look", "command", to=["sh", "-c", "ls {path}"]), "credentials.look"),
        (changed("credentials", "look", "command", to=["a\nb"]), "credentials.look"),
        (changed("credentials", "look", "command", to=[""]), "credentials.look"),
        (changed("credentials", "look", "command", to=["run", "{seconds}"]), "credentials.look"),
        (changed("credentials", "look", "group", to="readers"), "credentials.look.group"),
        (changed("credentials", "look", "renewable", to=True), "credentials.look.renewable"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(file: dict[str, Any], where: str) -> None:
    with pytest.raises(TargetFileError) as caught:
        parse_target_file(json.dumps(file).encode())
    assert (caught.value.where or "").startswith(where) or where in str(caught.value)


def test_a_certificate_without_principals_is_no_kind() -> None:
    with pytest.raises(BadKindError, match="good for every account"):
        OpensshKind(account="deploy", principals=())


def test_a_host_without_keys_is_no_target() -> None:
    with pytest.raises(BadTargetError, match="known by"):
        OpensshPlace(host="build.example", host_keys=())


def test_a_kind_without_a_command_forces_none() -> None:
    assert OpensshKind(account="a", principals=("a",)).forced({}) == ""


@settings(max_examples=40, deadline=None)
@given(
    st.text(
        st.characters(categories=("L", "N", "P", "S", "Zs"), codec="utf-8", exclude_characters="\xa0"),
        min_size=1,
        max_size=40,
    ).filter(lambda one: not one.startswith("-") and one.isprintable())
)
def test_what_is_left_to_who_asks_is_one_word_for_a_shell(value: str) -> None:
    line = DEPLOY.forced({"site": value, "to": "x"})
    assert shlex.split(line) == ["/bin/deploy", value, "x"]
    told = subprocess.run(
        ["/bin/sh", "-c", line.replace("/bin/deploy", "printf '%s\\n'", 1)], capture_output=True, check=True
    )
    assert told.stdout.decode() == f"{value}\nx\n"


def test_a_backslash_stands_in_no_quotes_as_shells_differ_in_what_it_is_there() -> None:
    line = DEPLOY.forced({"site": r"\'\' ; id ; \'", "to": "a\\"})
    outside = re.sub("'[^']*'|\"[^\"]*\"", "", line)
    assert outside == r"/bin/deploy \\\\\\ a\\"
    assert shlex.split(line) == ["/bin/deploy", r"\'\' ; id ; \'", "a\\"]


@pytest.mark.parametrize("value", ["=ls", "%self"])
def test_a_word_that_zsh_or_fish_would_replace_is_quoted(value: str) -> None:
    assert DEPLOY.forced({"site": value, "to": "x"}) == f"/bin/deploy '{value}' x"


@pytest.mark.parametrize("value", ["", "-rf", "--config=/etc/passwd", "a\nb", "a\0b", "a\x1bb", "\u202e"])
def test_what_is_no_word_of_a_command_is_refused(value: str) -> None:
    with pytest.raises(BadParameterError):
        DEPLOY.forced({"site": value, "to": "x"})


def test_a_word_that_nobody_gave_is_refused() -> None:
    with pytest.raises(BadParameterError):
        DEPLOY.forced({"site": "a"})


@pytest.mark.parametrize("key", ["", PRIVATE.format("Qg==")])
def test_what_is_sealed_is_read_as_it_was(key: str) -> None:
    access = OpensshAccess(ca=PRIVATE.format("QQ=="), key=key)
    assert parse_admin_access("openssh", access.text) == access


def test_no_key_is_in_a_repr() -> None:
    assert "QQ==" not in repr(OpensshAccess(ca=PRIVATE.format("QQ=="), key=PRIVATE.format("Qg==")))


@pytest.mark.parametrize(
    ("ca", "key"),
    [
        ("", ""),
        ("hunter2", ""),
        (PRIVATE.format("QQ=="), "hunter2"),
        (PRIVATE.format("QQ=="), PRIVATE.format("QQ==")),
        (PRIVATE.format("QQ==") + "hunter2", ""),
        (PRIVATE.format("\n".join(["Q" * 70] * 100)), ""),
        (PRIVATE.format("QQ==").replace("OPENSSH", "RSA"), ""),
    ],
)
def test_what_is_no_access_is_refused_without_being_said(ca: str, key: str) -> None:
    with pytest.raises(BadAdminAccessError) as refused:
        OpensshAccess(ca=ca, key=key)
    assert "hunter2" not in f"{refused.value.message} {refused.value.advice}"


def test_the_access_to_a_database_is_none_to_a_host() -> None:
    with pytest.raises(BadAdminAccessError):
        parse_admin_access("openssh", '{"password":"hunter2","user":"minter"}')
    with pytest.raises(BadAdminAccessError):
        parse_admin_access("postgres", OpensshAccess(ca=PRIVATE.format("QQ=="), key="").text)


def test_whoever_owns_the_host_is_declared_by_a_word_and_shown_to_approvers() -> None:
    before = parse_target_file(changed("credentials", "look", "account", to="root"))  # what is there is read
    with pytest.raises(TargetFileError, match="owns the host and can undo revocation") as refused:
        require_declarable(before)
    assert (refused.value.where, "`root: true`" in refused.value.advice) == ("credentials.look", True)
    plain = changed("credentials", "look", "account", to="root")
    plain["credentials"]["look"]["root"] = True
    require_declarable(said := parse_target_file(plain))
    (look,) = (one for one in said.credentials if one.name == "look")
    assert look.grants.words == "as `root`, runs anything, also what undoes its end"


def test_one_command_as_root_needs_no_word() -> None:
    require_declarable(found := parse_target_file(changed("credentials", "deploy", "account", to="root")))
    (deploy,) = (one for one in found.credentials if one.name == "deploy")
    assert deploy.grants.words.startswith("as `root`, runs `/usr/local/bin/deploy")
    assert "undoes" not in deploy.grants.words


@pytest.mark.parametrize("value", [True, "yes", 1, None])
def test_no_other_account_is_said_to_be_root(value: object) -> None:
    with pytest.raises(TargetFileError) as refused:
        parse_target_file(changed("credentials", "look", "root", to=value))
    assert refused.value.where == "credentials.look.root"

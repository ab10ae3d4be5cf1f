from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import botocore.exceptions
import pytest

from taskbound.adapters.targets.sts import StsTarget
from taskbound.core.clock import Instant, seconds
from taskbound.core.target import StsAccess
from taskbound.core.target.sts import denial, room
from taskbound.ports.target import (
    ExpiresAt,
    Gone,
    MintOrder,
    NameTakenError,
    RenewalUnsupportedError,
    TargetRefusedError,
    TargetUnavailableError,
    TargetUnreachedError,
)
from tests.peers.aws import ACCOUNT, OTHER, READER, Aws, aws
from tests.peers.cutting import CuttingPort
from tests.peers.impostor import DOES, Does, posing
from tests.peers.minter import PREFIX, fresh_name
from tests.peers.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.ports.target import Minted

PATIENCE = 10.0
LAST = "reports"
"""IAM's name of the reader's role."""


@pytest.fixture(scope="module")
def there() -> Iterator[Aws]:
    with aws() as found:
        yield found


def ends(left: int = 300) -> Instant:
    return Instant((int(time.time()) + left) * seconds(1))


def order(name: str = "", tenant: str = "acme", left: int = 300) -> MintOrder:
    return MintOrder(name=name or fresh_name(), ends=ends(left), context={"tenant": tenant})


def minted(there: Aws, made: MintOrder, target: StsTarget | None = None) -> Minted:
    return (target or there.target()).mint(made, READER, patience=PATIENCE)


def read(there: Aws, found: Minted, key: str = "acme/one") -> bytes:
    raw: bytes = there.objects(found).get_object(Bucket="reports", Key=key)["Body"].read()
    return raw


def require_shut(there: Aws, found: Minted, key: str = "acme/one") -> None:
    with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
        read(there, found, key)


def test_a_session_reads_what_its_values_say_and_nothing_else(there: Aws) -> None:
    found = minted(there, made := order())
    there.target().use(found, patience=PATIENCE)
    assert read(there, found) == b"acme/one"
    require_shut(there, found, "other/one")
    (session,) = [one for one in there.sessions() if one["name"] == made.name]
    assert session["tags"] == {"taskbound-credential": made.name}
    assert 890 <= session["ends"] - time.time() <= 900
    assert sorted(found.open) == ["AWS_ACCESS_KEY_ID", "AWS_DEFAULT_REGION", "AWS_REGION"]


@pytest.mark.parametrize("tenant", ["*", "?cme", "${aws:username}", "acme/*", "$", "{tenant}"])
def test_a217_a_value_that_looks_like_a_pattern_opens_nothing_else(there: Aws, tenant: str) -> None:
    require_shut(there, minted(there, order(tenant=tenant)))


def test_i14_an_end_shuts_this_session_and_no_other_of_the_role(there: Aws) -> None:
    mine, theirs = minted(there, made := order()), minted(there, order())
    found = there.target().revoke(made.name, ends=made.ends, patience=PATIENCE)
    assert found == Gone(cut=0, notes=("denied by 2 roles, by the tag of its session",))
    require_shut(there, mine)
    assert read(there, theirs) == b"acme/one"
    assert not there.target().look(made.name, patience=PATIENCE).exists
    assert there.target().revoke(made.name, ends=made.ends, patience=PATIENCE) == found


def test_i03_a_session_ends_by_itself_at_its_end_to_the_second(there: Aws) -> None:
    found = minted(there, made := order())
    at = made.ends / 1_000_000
    assert there.may(found, "acme/one", at - 0.001)
    assert not there.may(found, "acme/one", at)


def test_k7_a_mint_that_comes_after_its_end_opens_nothing(there: Aws) -> None:
    made = order()
    there.target().revoke(made.name, ends=made.ends, patience=PATIENCE)
    late = there.client("sts", there.admin.key, there.admin.secret).assume_role(
        RoleArn=there.place().arn(READER.role),
        RoleSessionName=made.name,
        Policy='{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}',
        Tags=[{"Key": "taskbound-credential", "Value": made.name}],
    )
    assert not there.judge(
        "may",
        key=late["Credentials"]["AccessKeyId"],
        action="s3:GetObject",
        resource="arn:aws:s3:::reports/acme/one",
        at=time.time(),
    )
    with pytest.raises(NameTakenError):
        minted(there, made)


FULL = "<ErrorResponse><Error><Code>LimitExceeded</Code><Message>10240</Message></Error></ErrorResponse>"


def test_f17_a_clock_that_is_ahead_keeps_no_denial_away(there: Aws) -> None:
    name = fresh_name()
    assert isinstance(there.target().revoke(name, ends=ends(-3_600), patience=PATIENCE), Gone)
    assert there.denied(name)


def test_where_a_role_has_no_room_what_ended_by_itself_is_left_at_that_and_nothing_else_is(
    there: Aws,
) -> None:
    name, over = fresh_name(), ends(-61)
    there.judge("fault", action="PutRolePolicy", status=409, body=FULL)
    assert there.target().revoke(name, ends=over, patience=PATIENCE) == ExpiresAt(until=over)
    there.judge("fault", action="PutRolePolicy", status=409, body=FULL)
    with pytest.raises(TargetUnavailableError, match="no room"):
        there.target().revoke(name, ends=ends(-30), patience=PATIENCE)
    assert not there.denied(name)


@contextmanager
def filled(there: Aws, left: int) -> Iterator[None]:
    """The role that is not the reader's takes so many characters more, for the length of the context."""
    there.judge("fills", role="billing", left=left)
    try:
        yield
    finally:
        there.judge("takes")


def test_i04_what_fills_a_role_keeps_no_end_away_as_without_room_for_that_there_is_no_session(
    there: Aws,
) -> None:
    with filled(there, len(denial(fresh_name(), ends())) + 10):
        found = minted(there, made := order())
        there.judge("asked")
        with pytest.raises(TargetUnreachedError, match="`billing` has no room"):
            minted(there, more := order())
        assert "AssumeRole" not in there.judge("asked")
        assert more.name not in there.iam.list_role_policies(RoleName=LAST)["PolicyNames"]
        assert not there.denied(made.name)
        there.target().revoke(made.name, ends=made.ends, patience=PATIENCE)
        require_shut(there, found)
    assert there.denied(made.name)


def test_i14_room_for_an_end_that_never_came_is_taken_away_later(there: Aws) -> None:
    name, live = fresh_name(), fresh_name()
    for one, until in ((name, ends(-301)), (live, ends(-290))):
        there.iam.put_role_policy(RoleName=LAST, PolicyName=one, PolicyDocument=room(one, until))
    assert list(there.target().sweep(PREFIX, patience=PATIENCE)) == []
    left = set(there.iam.list_role_policies(RoleName=LAST)["PolicyNames"])
    assert (name in left, live in left) == (False, True)


def test_k7_a_name_that_was_minted_is_minted_once(there: Aws) -> None:
    minted(there, made := order())
    with pytest.raises(NameTakenError):
        minted(there, made)


def test_i10_a_name_that_several_ask_for_at_once_is_minted_once(there: Aws) -> None:
    target, made, count = there.target(), order(), 6
    start = threading.Barrier(count)
    found: list[Minted | NameTakenError] = []

    def ask() -> None:
        start.wait(10)
        try:
            found.append(minted(there, made, target))
        except NameTakenError as error:
            found.append(error)

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(found) == count
    assert sum(not isinstance(one, NameTakenError) for one in found) == 1


def test_a_denial_stands_for_as_long_as_its_session_could_act_and_not_as_long_as_aws_keeps_it(
    there: Aws,
) -> None:
    minted(there, made := order(left=120))
    there.target().revoke(made.name, ends=made.ends, patience=PATIENCE)
    document = there.iam.get_role_policy(RoleName=LAST, PolicyName=made.name)["PolicyDocument"]
    assert document["Statement"][0]["Sid"] == f"until{made.ends // seconds(1) + 60}"


def test_i14_a_sweep_takes_denials_away_that_deny_nobody_any_more_and_touches_nothing_else(
    there: Aws,
) -> None:
    over, live, other = fresh_name(), fresh_name(), "tb_otherone_" + "a" * 35
    for name, until in ((over, ends(-301)), (live, ends(-290)), (other, ends(-9000))):
        there.iam.put_role_policy(RoleName=LAST, PolicyName=name, PolicyDocument=denial(name, until))
    assert list(there.target().sweep(PREFIX, patience=PATIENCE)) == []
    left = set(there.iam.list_role_policies(RoleName=LAST)["PolicyNames"])
    assert over not in left
    assert {live, other, "own"} <= left


def test_i07_a_denial_that_somebody_changed_is_no_end(there: Aws) -> None:
    made = order()
    there.target().revoke(made.name, ends=made.ends, patience=PATIENCE)
    changed = denial(made.name, made.ends).replace('"Deny"', '"Allow"')
    there.iam.put_role_policy(RoleName=LAST, PolicyName=made.name, PolicyDocument=changed)
    for call in (there.target().revoke, there.target().look):
        told = {"ends": made.ends} if call.__name__ == "revoke" else {}
        with pytest.raises(TargetUnavailableError, match="another process changed"):
            call(made.name, patience=PATIENCE, **told)
    there.iam.delete_role_policy(RoleName=LAST, PolicyName=made.name)
    assert there.target().look(made.name, patience=PATIENCE).exists
    assert isinstance(there.target().revoke(made.name, ends=made.ends, patience=PATIENCE), Gone)
    assert there.denied(made.name)


def test_a_key_of_another_account_or_of_nobody_mints_nothing(there: Aws) -> None:
    there.judge("asked")
    with pytest.raises(TargetUnreachedError, match="another account"):
        minted(there, order(), there.target(account="210987654321"))
    wrong = StsAccess(key=there.admin.key, secret="w" * 40)
    with pytest.raises(TargetUnreachedError, match="does not know") as caught:
        minted(there, order(), there.target(wrong))
    assert "w" * 40 not in repr(caught.value)
    assert "AssumeRole" not in there.judge("asked")


def test_a_right_that_is_missing_is_named(there: Aws) -> None:
    there.iam.put_user_policy(
        UserName="taskbound",
        PolicyName="less",
        PolicyDocument='{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"iam:PutRolePolicy","Resource":"*"}}',
    )
    try:
        with pytest.raises(TargetRefusedError, match="`iam:PutRolePolicy`"):
            there.target().revoke(fresh_name(), ends=ends(), patience=PATIENCE)
    finally:
        there.iam.delete_user_policy(UserName="taskbound", PolicyName="less")


def test_a_role_that_is_not_there_is_said(there: Aws) -> None:
    target = StsTarget(there.place(), there.admin, (replace(READER, role="nobody"),))
    with pytest.raises(TargetRefusedError, match="no such role"):
        target.revoke(fresh_name(), ends=ends(), patience=PATIENCE)


@pytest.mark.parametrize(
    ("code", "status", "error", "words"),
    [
        ("LimitExceeded", 409, TargetUnavailableError, "no room"),
        ("Throttling", 400, TargetUnavailableError, "too much to do"),
        ("ServiceFailure", 500, TargetUnavailableError, "too much to do"),
        ("InternalFailure", 503, TargetUnavailableError, "too much to do"),
        ("Unheard", 400, TargetUnavailableError, "not known here"),
        ("MalformedPolicyDocument", 400, TargetRefusedError, "can't read"),
    ],
)
def test_what_aws_answers_is_what_it_means_and_no_word_of_it_is_told(
    there: Aws, code: str, status: int, error: type[Exception], words: str
) -> None:
    body = f"<ErrorResponse><Error><Code>{code}</Code><Message>hush hush</Message></Error></ErrorResponse>"
    there.judge("fault", action="PutRolePolicy", status=status, body=body)
    with pytest.raises(error, match=words) as caught:
        there.target().revoke(made := fresh_name(), ends=ends(), patience=PATIENCE)
    assert "hush" not in repr(caught.value)
    assert isinstance(there.target().revoke(made, ends=ends(), patience=PATIENCE), Gone)


@pytest.mark.parametrize("body", ["", "<html>", "{}", "<AssumeRoleResponse/>"])
def test_f38_an_answer_that_is_no_session_is_no_mint(there: Aws, body: str) -> None:
    there.judge("fault", action="AssumeRole", status=200, body=body)
    with pytest.raises((TargetUnavailableError, TargetRefusedError)):
        minted(there, order())


@pytest.mark.parametrize("word", ["Action=AssumeRole", "Action=PutRolePolicy", "Action=GetRolePolicy"])
@pytest.mark.parametrize("how", ["before", "after"])
def test_k7_k16_wherever_a_call_is_cut_off_an_end_afterwards_shuts_it(
    there: Aws, word: str, how: str
) -> None:
    made = order()
    with CuttingPort(there.port) as way:
        target = there.target(port=way.port)
        way.at(word.encode(), "before" if how == "before" else "after")
        if "Assume" in word:
            with pytest.raises(TargetUnavailableError) as caught:
                minted(there, made, target)
            assert not isinstance(caught.value, TargetUnreachedError)
        else:
            with pytest.raises(TargetUnavailableError):
                target.revoke(made.name, ends=made.ends, patience=PATIENCE)
        assert isinstance(target.revoke(made.name, ends=made.ends, patience=PATIENCE), Gone)
    assert there.denied(made.name)
    for one in there.sessions():
        if one["name"] == made.name:
            told = {"action": "s3:GetObject", "resource": "arn:aws:s3:::reports/acme/one", "at": time.time()}
            assert not there.judge("may", key=one["key"], **told)


def test_where_nobody_listens_nothing_was_sent(there: Aws) -> None:
    with pytest.raises(TargetUnreachedError):
        minted(there, order(), there.target(port=free_port()))


@pytest.mark.parametrize("does", DOES)
def test_f11_who_is_not_aws_is_not_believed_and_not_waited_for(there: Aws, does: Does) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    with posing(listening, does):
        target = there.target(port=int(listening.getsockname()[1]))
        began = time.monotonic()
        with pytest.raises((TargetUnavailableError, TargetRefusedError)):
            target.revoke(fresh_name(), ends=ends(), patience=0.5)
        assert time.monotonic() - began < 20  # it would go on for ever


def test_no_variable_and_no_file_of_the_machine_says_who_we_are(
    there: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    for name, value in {
        "AWS_PROFILE": "nobody",
        "AWS_CONFIG_FILE": "/nowhere",
        "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
        "AWS_ACCESS_KEY_ID": "AKIANOBODYNOBODYNOBO",
        "AWS_SECRET_ACCESS_KEY": "nobody",
        "AWS_SESSION_TOKEN": "nobody",
        "AWS_ENDPOINT_URL": dead,
        "AWS_ENDPOINT_URL_STS": dead,
        "AWS_CA_BUNDLE": "/nowhere",
        "AWS_REGION": "xx-nowhere-1",
        "AWS_DEFAULT_REGION": "xx-nowhere-1",
        "http_proxy": dead,
        "HTTPS_PROXY": dead,
        "ALL_PROXY": dead,
    }.items():
        monkeypatch.setenv(name, value)
    found = minted(there, made := order())
    target = there.target()
    monkeypatch.undo()
    assert read(there, found) == b"acme/one"
    assert isinstance(target.revoke(made.name, ends=made.ends, patience=PATIENCE), Gone)


def test_an_end_can_t_be_moved(there: Aws) -> None:
    with pytest.raises(RenewalUnsupportedError):
        there.target().renew(fresh_name(), ends(), patience=PATIENCE)


def test_a_session_of_another_account_is_not_what_was_made(there: Aws) -> None:
    found = there.target().mint(MintOrder(name=fresh_name(), ends=ends()), OTHER, patience=PATIENCE)
    assert there.place().account == ACCOUNT
    with pytest.raises(TargetRefusedError, match="another one"):
        there.target(account="210987654321").use(found, patience=PATIENCE)


def test_what_is_over_before_it_is_made_is_asked_for_by_nobody(there: Aws) -> None:
    there.judge("asked")
    with pytest.raises(TargetRefusedError, match="over before it is made"):
        minted(there, order(left=-1))
    assert there.judge("asked") == []


def test_a_session_is_asked_for_as_long_as_aws_gives_one_at_most(there: Aws) -> None:
    minted(there, made := order(left=86_400))
    (session,) = [one for one in there.sessions() if one["name"] == made.name]
    assert 43_190 <= session["ends"] - time.time() <= 43_200


def test_a217_what_a_session_makes_of_itself_has_its_tag_too(there: Aws) -> None:
    minted(there, order())
    asked = there.judge("last", action="AssumeRole")
    assert asked["TransitiveTagKeys.member.1"] == "taskbound-credential"


def test_a_key_that_is_no_session_s_is_not_what_was_made(there: Aws) -> None:
    made = minted(there, order())
    stolen = replace(
        made,
        open={**made.open, "AWS_ACCESS_KEY_ID": there.admin.key},
        secret={"AWS_SECRET_ACCESS_KEY": there.admin.secret, "AWS_SESSION_TOKEN": ""},
    )
    with pytest.raises(TargetRefusedError, match="another one"):
        there.target().use(stolen, patience=PATIENCE)


DONE = "<PutRolePolicyResponse><ResponseMetadata/></PutRolePolicyResponse>"


def test_i07_a_denial_that_aws_took_and_does_not_show_is_no_end(there: Aws) -> None:
    name = fresh_name()
    there.judge("fault", action="PutRolePolicy", status=200, body=DONE)
    with pytest.raises(TargetUnavailableError, match="does not show yet"):
        there.target().revoke(name, ends=ends(), patience=PATIENCE)
    assert isinstance(there.target().revoke(name, ends=ends(), patience=PATIENCE), Gone)
    assert there.denied(name)


@pytest.mark.parametrize("changed", ['"Resource":"arn:aws:s3:::other"', '"Resource":["*"]'])
def test_i07_a_denial_of_less_than_everything_is_no_end(there: Aws, changed: str) -> None:
    name = fresh_name()
    text = denial(name, ends())
    assert '"Resource":"*"' in text
    there.iam.put_role_policy(
        RoleName=LAST, PolicyName=name, PolicyDocument=text.replace('"Resource":"*"', changed)
    )
    with pytest.raises(TargetUnavailableError, match="another process changed"):
        there.target().look(name, patience=PATIENCE)
    there.iam.delete_role_policy(RoleName=LAST, PolicyName=name)


PAGE = (
    "<ListRolePoliciesResponse><ListRolePoliciesResult><PolicyNames/><IsTruncated>true</IsTruncated>"
    "<Marker>0</Marker></ListRolePoliciesResult></ListRolePoliciesResponse>"
)


def test_a_sweep_reads_all_pages_of_a_role(there: Aws) -> None:
    over = fresh_name()
    there.iam.put_role_policy(RoleName=LAST, PolicyName=over, PolicyDocument=denial(over, ends(-301)))
    for _ in range(2):  # the first page of each role has nothing
        there.judge("fault", action="ListRolePolicies", status=200, body=PAGE)
    assert list(there.target().sweep(PREFIX, patience=PATIENCE)) == []
    assert over not in there.iam.list_role_policies(RoleName=LAST)["PolicyNames"]


def test_a_session_that_is_called_otherwise_is_handed_to_nobody(there: Aws) -> None:
    of = (
        "<AssumeRoleResponse><AssumeRoleResult><AssumedRoleUser><AssumedRoleId>A:x</AssumedRoleId>"
        f"<Arn>arn:aws:sts::{ACCOUNT}:assumed-role/reports/tb_another</Arn></AssumedRoleUser><Credentials>"
        "<AccessKeyId>ASIAX</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>"
        "<Expiration>2030-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
    )
    there.judge("fault", action="AssumeRole", status=200, body=of)
    with pytest.raises(TargetUnavailableError, match="not called as it was asked for"):
        minted(there, order())

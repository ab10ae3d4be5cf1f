from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from taskbound.adapters.targets.openbao import OpenbaoTarget
from taskbound.core.clock import Instant, seconds
from taskbound.core.target import BadTargetError, OpenbaoAccess, OpenbaoKind, OpenbaoPlace
from taskbound.ports.target import (
    ExpiresAt,
    Gone,
    Minted,
    MintOrder,
    NameTakenError,
    RenewalUnsupportedError,
    Shown,
    Target,
    TargetRefusedError,
    TargetUnavailableError,
    TargetUnreachedError,
)
from tests.peers.certificates import certificate
from tests.peers.cutting import CuttingPort
from tests.peers.leasing import POLICY, READER, Leasing, leasing
from tests.peers.minter import PREFIX, fresh_name
from tests.peers.openbao import Bao
from tests.wiring.running import until

PATIENCE = 10.0
SHORT = 2.0
LATER = Instant(seconds(2**31))


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Leasing]:
    with leasing(tmp_path_factory.mktemp("bao")) as both:
        yield both


def order(there: Leasing, name: str = "") -> MintOrder:
    return MintOrder(name=name or fresh_name(), ends=there.orders.ends)


def end(target: Target[Any], name: str, ends: Instant = LATER) -> Gone | ExpiresAt:
    return target.revoke(name, ends=ends, patience=PATIENCE)


def require_nothing(there: Leasing, name: str) -> None:
    assert (there.role(name), there.leases(name), name in there.orders.roles()) == (None, (), False)


def require_ended(there: Leasing, name: str) -> None:
    """End what is left of it where nobody uses it, and require that nothing remains."""
    assert end(there.target(), name) == Gone(cut=0)
    require_nothing(there, name)


def mint(there: Leasing, name: str, target: Target[Any] | None = None, kind: OpenbaoKind = READER) -> Minted:
    return (target or there.target()).mint(order(there, name), kind, patience=PATIENCE)


@contextmanager
def standing(status: int) -> Iterator[int]:
    """A port where one answers once that stands by."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError), listening.accept()[0] as one:
                one.recv(65_536)
                head = f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\nLocation: http://127.0.0.1:1/\r\n\r\n"
                one.sendall(head.encode())

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield int(listening.getsockname()[1])
        thread.join(PATIENCE)


def whole(there: Leasing, target: Target[Any], name: str) -> None:
    mint(there, name, target)
    end(target, name)
    list(target.sweep(PREFIX, patience=PATIENCE))


# --- what is copied, and what is handed out ----------------------------------------------------------


def test_a_copy_is_the_role_with_the_end_of_the_order(there: Leasing) -> None:
    name = fresh_name()
    minted = mint(there, name)
    copy, role = there.role(name), there.role("reader")
    assert isinstance(copy, dict)
    assert isinstance(role, dict)
    assert copy["default_ttl"] == copy["max_ttl"] > 86_000
    assert {**copy, "default_ttl": 3_600, "max_ttl": 86_400} == role
    assert minted.open == {"PGUSER": name}
    assert minted.secret.keys() == {"PGPASSWORD"}
    require_ended(there, name)


def test_nothing_is_minted_for_an_end_that_is_over(there: Leasing) -> None:
    name = fresh_name()
    over = MintOrder(name=name, ends=Instant(there.orders.ends - seconds(86_400 + 3_600)))
    with pytest.raises(TargetRefusedError, match="over before"):
        there.target().mint(over, READER, patience=PATIENCE)
    require_nothing(there, name)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (replace(READER, role="nobody"), "no role `nobody`"),
        (replace(READER, mount="nowhere"), "lacks `read` on `nowhere/roles/tb_abcdefgh_\\*`"),
        (replace(READER, gives={"username": "PGUSER", "token": "PGPASSWORD"}), "gives no text `token`"),
    ],
)
def test_what_the_server_has_not_is_said_and_leaves_what_an_end_ends(
    there: Leasing, kind: OpenbaoKind, why: str
) -> None:
    policy = POLICY + 'path "database/roles/nobody" { capabilities = ["read"] }'
    target, name = there.target(token=there.token(policy)), fresh_name()
    with pytest.raises(TargetRefusedError, match=why):
        mint(there, name, target, kind)
    require_ended(there, name)


def test_a_path_that_no_engine_has_is_said_to_whoever_may_see_that(there: Leasing) -> None:
    target = there.target(token=there.bao.root)
    with pytest.raises(TargetRefusedError, match="has nothing at `nowhere/roles"):
        mint(there, fresh_name(), target, replace(READER, mount="nowhere"))


def test_each_line_of_the_policy_is_missed_by_what_needs_it(there: Leasing) -> None:
    lines = POLICY.strip().splitlines()
    for number, line in enumerate(lines):
        target = there.target(token=there.token("\n".join(lines[:number] + lines[number + 1 :])))
        name = fresh_name()
        with pytest.raises(TargetRefusedError) as refused:
            whole(there, target, name)
        path = line.split('"')[1].removesuffix("*")
        assert path in refused.value.advice
        assert name not in f"{refused.value.message}{refused.value.advice}"
        require_ended(there, name)


def test_a_role_that_says_no_end_is_not_copied(there: Leasing) -> None:
    there.bao.ask("POST", "sys/mounts/kv", {"type": "kv"})
    policy = POLICY.replace("database/", "kv/")
    there.bao.ask("POST", "kv/roles/reader", {"username": "x", "password": "y"})
    target, name = there.target(token=there.token(policy)), fresh_name()
    with pytest.raises(TargetRefusedError, match="says no end"):
        mint(there, name, target, replace(READER, mount="kv"))


def test_a_lease_that_ends_before_it_has_to_is_handed_to_nobody(there: Leasing) -> None:
    there.bao.ask("POST", "sys/mounts/database/tune", {"max_lease_ttl": "1h", "default_lease_ttl": "1h"})
    name = fresh_name()
    try:
        with pytest.raises(TargetRefusedError, match="an end of its own"):
            mint(there, name)
    finally:
        there.bao.ask(
            "POST", "sys/mounts/database/tune", {"max_lease_ttl": "768h", "default_lease_ttl": "768h"}
        )
    require_ended(there, name)


def test_a_login_that_is_called_otherwise_is_handed_to_nobody(there: Leasing) -> None:
    name = fresh_name()
    there.connect(username_template="v_{{random 8}}")
    try:
        with pytest.raises(TargetRefusedError, match="calls logins otherwise") as refused:
            mint(there, name)
        assert "username_template" in refused.value.advice
    finally:
        there.connect()
    require_ended(there, name)


def test_a_connection_that_allows_no_copy_is_said(there: Leasing) -> None:
    name = fresh_name()
    there.connect(allowed_roles=["reader"])
    try:
        with pytest.raises(TargetRefusedError, match="allowed_roles"):
            mint(there, name)
    finally:
        there.connect()
    require_ended(there, name)


def test_what_an_engine_says_of_its_failure_is_passed_on_to_nobody(there: Leasing) -> None:
    there.write_role("failing", creation_statements=["SELECT '{{password}}'::int"])
    policy = POLICY + 'path "database/roles/failing" { capabilities = ["read"] }'
    target, name = there.target(token=there.token(policy)), fresh_name()
    with pytest.raises(TargetUnavailableError) as failed:
        mint(there, name, target, replace(READER, role="failing"))
    assert failed.value.message == "the engine gives nothing: it failed (status 500)"
    require_ended(there, name)


def test_f10_where_the_other_target_is_not_there_nothing_is_sent(there: Leasing) -> None:
    def gone() -> Target[Any]:
        raise TargetUnreachedError("`orders-db` is no target that is ready")

    name = fresh_name()
    target = there.target(seen=gone)
    with pytest.raises(TargetUnreachedError, match="orders-db"):
        mint(there, name, target)
    require_nothing(there, name)
    mint(there, name)
    for call in (lambda: end(target, name), lambda: target.look(name, patience=PATIENCE)):
        with pytest.raises(TargetUnavailableError, match="orders-db") as failed:
            call()
        assert not isinstance(failed.value, TargetUnreachedError)
    assert (there.role(name), there.leases(name)) == (None, ())  # the door is shut before
    require_ended(there, name)


# --- ends --------------------------------------------------------------------------------------------


def test_i07_a_revocation_that_fails_in_the_engine_is_made_up_for_where_it_is_seen(there: Leasing) -> None:
    there.write_role("dropping", revocation_statements=['DROP ROLE IF EXISTS "{{name}}"'])
    policy = POLICY + 'path "database/roles/dropping" { capabilities = ["read"] }'
    target, name = there.target(token=there.token(policy)), fresh_name()
    minted = mint(there, name, target, replace(READER, role="dropping"))
    with there.orders.login(there.placed(minted)) as session:
        session.execute("SELECT lo_create(0)")
        session.execute("CREATE TABLE owned (id int)")
        found = end(target, name)
    assert isinstance(found, Gone)
    assert found.cut == 1
    assert found.notes
    require_nothing(there, name)


def test_i04_a213_who_keeps_the_engine_from_revoking_is_out_all_the_same(there: Leasing) -> None:
    target, name = there.target(), fresh_name()
    session = there.orders.login(there.placed(mint(there, name, target)))
    session.execute("BEGIN")
    session.execute(f"ALTER ROLE {name} PASSWORD 'mine'".encode())
    assert target.revoke(name, ends=LATER, patience=SHORT) == Gone(cut=1)
    session.close()
    require_nothing(there, name)


def test_i07_a_lease_that_the_engine_can_not_revoke_is_not_gone(there: Leasing) -> None:
    there.write_role("broken", revocation_statements=["SELECT 1/0"])
    policy = POLICY + 'path "database/roles/broken" { capabilities = ["read"] }'
    target, name = there.target(token=there.token(policy)), fresh_name()
    mint(there, name, target, replace(READER, role="broken"))
    with pytest.raises(TargetUnavailableError, match="fails to revoke") as failed:
        end(target, name)
    assert "revocation_statements" in failed.value.advice
    assert there.leases(name) != ()
    assert name not in there.orders.roles()
    assert name in set(target.sweep(PREFIX, patience=PATIENCE))
    assert target.look(name, patience=PATIENCE).exists
    there.bao.ask("PUT", f"sys/leases/revoke-force/database/creds/{name}")
    assert end(target, name) == Gone(cut=0)
    require_nothing(there, name)


def test_i07_a_copy_that_a_late_mint_wrote_is_not_gone(there: Leasing) -> None:
    name = fresh_name()

    class Late:
        def revoke(self, name: str, *, ends: Instant, patience: float) -> Gone | ExpiresAt:
            there.write_role(name)
            return there.orders.target().revoke(name, ends=ends, patience=patience)

    late: Any = Late()
    with pytest.raises(TargetUnavailableError, match="still shows"):
        end(there.target(seen=lambda: late), name)
    require_ended(there, name)


def test_i10_a_name_that_is_being_minted_is_minted_by_nobody_else(there: Leasing) -> None:
    name, met = fresh_name(), []
    with CuttingPort(there.bao.port) as way:
        target = there.target(port=way.port)

        def again() -> None:
            with pytest.raises(NameTakenError, match="being minted"):
                mint(there, name, target)
            met.append(there.role(name))

        way.at(b"POST /v1/database/roles/", "before", again)
        with pytest.raises(TargetUnavailableError):
            mint(there, name, target)
    assert met == [None]
    assert end(there.target(), name) == Gone(cut=0)


def test_i03_without_another_target_an_end_is_left_to_the_lease(there: Leasing) -> None:
    target, name = there.target(alone=True), fresh_name()
    minted = mint(there, name, target)
    target.use(minted, patience=PATIENCE)
    assert end(target, name, there.orders.ends) == ExpiresAt(until=there.orders.ends)
    assert (there.role(name), there.leases(name)) == (None, ())
    with pytest.raises(TargetRefusedError, match="what is open"):
        target.look(name, patience=PATIENCE)
    require_ended(there, name)


def test_i12_no_renewal_brings_back_what_was_taken_away(there: Leasing) -> None:
    with pytest.raises(RenewalUnsupportedError):
        there.target().renew(fresh_name(), there.orders.ends, patience=PATIENCE)


def test_a_kind_of_another_mount_is_ended_by_its_name_too(there: Leasing) -> None:
    name = fresh_name()
    mint(there, name)
    other = replace(READER, mount="elsewhere")
    there.bao.ask("POST", "sys/mounts/elsewhere", {"type": "database"})
    policy = POLICY + POLICY.replace("database/", "elsewhere/")
    target = there.target(token=there.token(policy), kinds=(other, READER))
    assert target.look(name, patience=PATIENCE) == Shown(exists=True, open=0)
    assert set(target.sweep(PREFIX, patience=PATIENCE)) == {name}
    assert end(target, name) == Gone(cut=0)
    require_nothing(there, name)


# --- what happens to the server and its token ---------------------------------------------------------


def test_i04_f10_a_sealed_server_is_waited_for_and_keeps_no_session_open(there: Leasing) -> None:
    name = fresh_name()
    session = there.orders.login(there.placed(mint(there, name)))
    there.bao.seal()
    try:
        for call in (
            lambda: mint(there, fresh_name()),
            lambda: end(there.target(), name),
            lambda: there.target().look(name, patience=PATIENCE),
            lambda: list(there.target().sweep(PREFIX, patience=PATIENCE)),
        ):
            with pytest.raises(TargetUnavailableError, match="sealed") as failed:
                call()
            assert not isinstance(failed.value, TargetUnreachedError)
        assert there.orders.sessions(name) == 0
    finally:
        session.close()
        there.bao.unseal()
    require_ended(there, name)


def test_f13_with_the_admins_token_its_leases_go_and_an_end_shows_it(there: Leasing) -> None:
    token, name = there.token(POLICY), fresh_name()
    mint(there, name, there.target(token=token))
    there.bao.ask("POST", "auth/token/revoke", {"token": token})
    with pytest.raises(TargetRefusedError, match="it has expired, or lacks"):
        end(there.target(token=token), name)
    assert there.role(name) is not None  # a sweep finds it
    assert name not in there.orders.roles()
    require_ended(there, name)


def test_a_sweep_lets_a_token_live_longer_and_one_that_can_not_is_no_trouble(there: Leasing) -> None:
    token = there.token(POLICY, period="1h")
    accessor = {"token": token}
    there.bao.ask("POST", "auth/token/renew", accessor | {"increment": "10s"})
    before = there.bao.ask("POST", "auth/token/lookup", accessor)["data"]["last_renewal_time"]
    now = there.bao.ask("GET", "sys/health")["server_time_utc"]
    until(lambda: there.bao.ask("GET", "sys/health")["server_time_utc"] > now, "it counts in seconds")
    list(there.target(token=token).sweep(PREFIX, patience=PATIENCE))
    assert there.bao.ask("POST", "auth/token/lookup", accessor)["data"]["last_renewal_time"] > before
    for fixed in (there.bao.root, there.token(POLICY, type="batch", ttl="1h")):
        list(there.target(token=fixed).sweep(PREFIX, patience=PATIENCE))


@pytest.mark.parametrize("status", [307, 472, 473])
def test_one_that_is_not_the_active_one_is_unavailable_and_nothing_follows_it(
    there: Leasing, status: int
) -> None:
    with standing(status) as port, pytest.raises(TargetUnavailableError, match="not the active one"):
        there.target(port=port).look(fresh_name(), patience=SHORT)


def test_a_server_that_was_killed_knows_its_copies_and_leases_once_it_is_back(tmp_path: Path) -> None:
    with leasing(tmp_path, kept=True) as both:
        name, late = fresh_name(), fresh_name()
        minted = mint(both, name)
        session = both.orders.login(both.placed(minted))
        both.bao.kill()
        with pytest.raises(TargetUnreachedError):
            mint(both, late)
        with pytest.raises(TargetUnavailableError, match="no server answers") as failed:
            end(both.target(), name)
        assert not isinstance(failed.value, TargetUnreachedError)  # the database was asked
        assert both.orders.sessions(name) == 0
        both.bao.start_again()
        assert set(both.target().sweep(PREFIX, patience=PATIENCE)) == {name}
        assert end(both.target(), name) == Gone(cut=0)
        require_nothing(both, name)
        require_nothing(both, late)
        session.close()


def test_the_server_is_who_its_authority_says(there: Leasing, tmp_path: Path) -> None:
    chain, key = certificate(tmp_path)
    other, _ = certificate(tmp_path, name="other")
    bao = Bao(tmp_path, certificate=chain, key=key, transit=False)
    try:
        access = OpenbaoAccess(token=bao.root)
        for roots in (chain, other, None):
            place = OpenbaoPlace(address=bao.address, roots=str(roots or ""), seen_in="orders-db")
            target = OpenbaoTarget(place, access, [READER], there.orders.target)
            order = MintOrder(name=fresh_name(), ends=there.orders.ends)
            why = "no role|nothing at" if roots == chain else "certificate does not prove"
            expected = TargetRefusedError if roots == chain else TargetUnreachedError
            with pytest.raises(expected, match=why) as refused:
                target.mint(order, READER, patience=PATIENCE)
            assert bao.root not in str(refused.value)
        with pytest.raises(BadTargetError):
            OpenbaoTarget(
                OpenbaoPlace(address=bao.address, roots=str(tmp_path / "none.pem")), access, [READER]
            )
    finally:
        bao.end()


def test_a217_what_is_in_another_namespace_is_not_reached(there: Leasing) -> None:
    there.bao.ask("POST", "sys/namespaces/team", {})
    name = fresh_name()
    mint(there, name)
    place = OpenbaoPlace(address=there.bao.address, namespace="team", seen_in="orders-db")
    target = OpenbaoTarget(place, OpenbaoAccess(token=there.bao.root), [READER], there.orders.target)
    with pytest.raises(TargetRefusedError, match="nothing at"):
        mint(there, fresh_name(), target)
    with pytest.raises(TargetRefusedError, match="nothing at"):
        end(target, name)
    assert len(there.leases(name)) == 1
    require_ended(there, name)


# --- answers that are lost ----------------------------------------------------------------------------


def test_i01_k7_what_an_engine_gave_and_nobody_got_is_ended_by_its_name(there: Leasing) -> None:
    name = fresh_name()
    with CuttingPort(there.bao.port) as way:
        way.at(b"GET /v1/database/creds/", "after")
        with pytest.raises(TargetUnavailableError) as failed:
            mint(there, name, there.target(port=way.port))
        assert not isinstance(failed.value, TargetUnreachedError)
    assert (len(there.leases(name)), name in there.orders.roles()) == (1, True)
    assert name in set(there.target().sweep(PREFIX, patience=PATIENCE))
    require_ended(there, name)


def test_i01_k6_a_copy_that_nothing_was_asked_of_is_found_by_a_sweep(there: Leasing) -> None:
    name = fresh_name()
    with CuttingPort(there.bao.port) as way:
        way.at(b"GET /v1/database/creds/", "before")
        with pytest.raises(TargetUnavailableError):
            mint(there, name, there.target(port=way.port))
    assert (there.role(name) is not None, there.leases(name)) == (True, ())
    assert set(there.target().sweep(PREFIX, patience=PATIENCE)) == {name}
    require_ended(there, name)


def test_i02_what_the_engine_made_before_it_had_a_lease_is_ended_where_it_is_seen(there: Leasing) -> None:
    name = fresh_name()
    with there.orders.owner() as owner:
        owner.execute(f'SET ROLE minter; CREATE ROLE "{name}" LOGIN IN ROLE readers'.encode())
    assert there.target().look(name, patience=PATIENCE) == Shown(exists=True, open=0)
    assert set(there.target().sweep(PREFIX, patience=PATIENCE)) == {name}
    require_ended(there, name)


def test_a_call_that_is_mute_has_its_patience(there: Leasing) -> None:
    name = fresh_name()
    with CuttingPort(there.bao.port) as way:
        way.at(b"DELETE ", "mute")
        with pytest.raises(TargetUnavailableError, match="took longer"):
            there.target(port=way.port).revoke(name, ends=there.orders.ends, patience=0.5)

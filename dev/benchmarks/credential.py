"""Minting and revoking a login of PostgreSQL: bare statements, ours, and OpenBao's, by turns in one run.

*Bare* is what `psycopg` takes for the same statements as the same admin: a login in a group with an end and
a SCRAM verifier, in one transaction; `NOLOGIN`, ending its sessions, `DROP ROLE`. *Kept* is on a connection
that is open before, *fresh* on one that is opened for it, with its password. *Ours* is what the broker calls:
a kept connection that is asked whether it lives, the look at the group, a password of 256 bits; and the whole
order of a revocation, with what it looks for afterwards. *OpenBao* is its database engine over loopback HTTP,
with the same admin and statements of creation, and a lease that is revoked with `sync`: the role is taken
away, and no session ended. *By OpenBao* is OpenBao as a target: bare are the two requests by which a login
has its credential's name and end (a copy of the role, and what that gives), and the two by which both go, on
one connection; ours is what the broker calls, with the looks before and after, and with what it sees and cuts
off in the database itself. Each login is minted and revoked once; servers and clients share the machine.
"""

from __future__ import annotations

import http.client
import json
from collections import deque
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg import sql

from dev.benchmarks.page import Aim, Section, Table
from dev.benchmarks.sampling import by_turns, micro
from taskbound.ports.target import MintOrder
from tests.peers.leasing import READER, Leasing, leasing
from tests.peers.minter import ADMIN, PATIENCE, READERS, Orders, fresh_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from dev.benchmarks.sampling import Timed
    from taskbound.adapters.targets.postgres import PostgresTarget


_METHOD: Final = (__doc__ or "").partition("\n\n")[2]
_MOST: Final = 2.0
"""Times bare: the aim."""
_AGAINST: Final = {
    "mint": "half of either is the server looking for an empty password; ours looks at the group too",
    "revoke": "it ends no session, and looks for nothing that is prepared, owned or left afterwards",
}
_CREATION: Final = (
    "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}' CONNECTION LIMIT 5",
    'GRANT readers TO "{{name}}"',
)
_REVOCATION: Final = ('ALTER ROLE "{{name}}" NOLOGIN', 'DROP ROLE "{{name}}"')
"""Its own default asks for rights on every table, which an admin who only makes logins has not."""
_ENDING: Final = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s"


def measure_credential(*, quick: bool) -> Section:
    """The section."""
    turns, pieces = (3, 10) if quick else (11, 40)
    with TemporaryDirectory(prefix="taskbound-bao-") as folder, leasing(Path(folder)) as there:
        server = _OpenBao(there)
        try:
            works = _works(there.orders, server) | _by_openbao(there, server)
            timed = by_turns(works, turns=turns, pieces=pieces)
        finally:
            server.end()
    rows = tuple(
        (name, *map(micro, (one.median, one.p99, one.cpu)), f"{one.median / timed[_bare(name)].median:.2f}")
        for name, one in timed.items()
    )
    return Section(
        name="credential",
        title="Minting and revoking a login of PostgreSQL",
        method=_METHOD,
        tables=(Table(head=("work", "p50 µs", "p99 µs", "CPU µs", "times bare"), rows=rows),),
        aims=tuple(_aims(timed)),
        numbers={name: one.median for name, one in timed.items()},
    )


def _works(orders: Orders, server: _OpenBao) -> dict[str, Callable[[], object]]:
    kept = _connect(orders)
    target = orders.target()
    bare: deque[str] = deque()
    fresh: deque[str] = deque()
    ours: deque[str] = deque()
    theirs: deque[str] = deque()

    def mint_fresh() -> None:
        with _connect(orders) as one:
            fresh.append(_mint(one))

    def revoke_fresh() -> None:
        with _connect(orders) as one:
            _revoke(one, fresh.popleft())

    def mint() -> None:
        name = fresh_name()
        target.mint(MintOrder(name=name, ends=orders.ends, context={}), READERS, patience=PATIENCE)
        ours.append(name)

    return {
        "mint, bare, kept": lambda: bare.append(_mint(kept)),
        "mint, bare, fresh": mint_fresh,
        "mint, ours": mint,
        "mint, OpenBao": lambda: theirs.append(server.mint()),
        "revoke, bare, kept": lambda: _revoke(kept, bare.popleft()),
        "revoke, bare, fresh": revoke_fresh,
        "revoke, ours": lambda: target.revoke(ours.popleft(), ends=orders.ends, patience=PATIENCE),
        "revoke, OpenBao": lambda: server.revoke(theirs.popleft()),
    }


def _by_openbao(there: Leasing, server: _OpenBao) -> dict[str, Callable[[], object]]:
    target, orders = there.target(seen=_seen(there.orders)), there.orders
    bare: deque[str] = deque()
    ours: deque[str] = deque()

    def mint() -> None:
        name = fresh_name()
        target.mint(MintOrder(name=name, ends=orders.ends, context={}), READER, patience=PATIENCE)
        ours.append(name)

    return {
        "mint by OpenBao, bare, kept": lambda: bare.append(server.mint_copy()),
        "mint by OpenBao, ours": mint,
        "revoke by OpenBao, bare, kept": lambda: server.revoke_copy(bare.popleft()),
        "revoke by OpenBao, ours": lambda: target.revoke(ours.popleft(), ends=orders.ends, patience=PATIENCE),
    }


def _seen(orders: Orders) -> Callable[[], PostgresTarget]:
    """What sees the logins in the database: one target, as the broker has it, whose connections are kept."""
    target = orders.target()
    return lambda: target


def _connect(orders: Orders) -> psycopg.Connection[Any]:
    return psycopg.connect(
        host=str(orders.server.folder),
        dbname="orders",
        user=ADMIN.user,
        password=ADMIN.password,
        autocommit=True,
    )


def _mint(one: psycopg.Connection[Any]) -> str:
    name = fresh_name()
    verifier = one.pgconn.encrypt_password(b"p" * 43, name.encode(), b"scram-sha-256").decode()
    with one.transaction():
        one.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} VALID UNTIL 'tomorrow' CONNECTION LIMIT 5").format(
                sql.Identifier(name), sql.Literal(verifier)
            )
        )
        one.execute(sql.SQL("GRANT readers TO {}").format(sql.Identifier(name)))
    return name


def _revoke(one: psycopg.Connection[Any], name: str) -> None:
    one.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(sql.Identifier(name)))
    one.execute(_ENDING, (name,))
    one.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


class _OpenBao:
    """An OpenBao with a database engine for the same database, asked on one connection."""

    def __init__(self, there: Leasing) -> None:
        self._bao = there.bao
        there.write_role(
            "plain",
            db_name="plain",
            creation_statements=list(_CREATION),
            revocation_statements=list(_REVOCATION),
        )
        plain = self._bao.ask("GET", "database/config/orders")["data"]
        self._bao.ask(
            "POST",
            "database/config/plain",
            {
                "plugin_name": plain["plugin_name"],
                "connection_url": plain["connection_details"]["connection_url"],
                "username": ADMIN.user,
                "password": ADMIN.password,
                "password_authentication": "scram-sha-256",
                "allowed_roles": ["plain"],
            },
        )
        self._role = self._bao.ask("GET", "database/roles/reader")["data"]
        self._http = http.client.HTTPConnection("127.0.0.1", self._bao.port, timeout=20)

    def mint(self) -> str:
        """A lease."""
        return str(self._ask("GET", "database/creds/plain")["lease_id"])

    def revoke(self, lease: str) -> None:
        """End it, and wait for that."""
        self._ask("PUT", "sys/leases/revoke", {"lease_id": lease, "sync": True})

    def mint_copy(self) -> str:
        """A login that is called as its copy of the role."""
        name = fresh_name()
        ends = {"default_ttl": 3_600, "max_ttl": 3_600}
        self._ask("POST", f"database/roles/{name}", {**self._role, **ends})
        self._ask("GET", f"database/creds/{name}")
        return name

    def revoke_copy(self, name: str) -> None:
        """Both of it."""
        self._ask("DELETE", f"database/roles/{name}")
        self._ask("PUT", f"sys/leases/revoke-prefix/database/creds/{name}", {"sync": True})

    def end(self) -> None:
        """Leave."""
        self._http.close()

    def _ask(self, method: str, path: str, body: dict[str, object] | None = None) -> dict[str, Any]:
        self._http.request(
            method,
            f"/v1/{path}",
            None if body is None else json.dumps(body),
            {"X-Vault-Token": self._bao.root},
        )
        answer = self._http.getresponse()
        raw = answer.read()
        if answer.status >= 300:  # noqa: PLR2004 -- HTTP's own
            raise RuntimeError(f"OpenBao answers {answer.status} to {path}")
        said: dict[str, Any] = json.loads(raw) if raw else {}
        return said


def _bare(name: str) -> str:
    return f"{name.partition(',')[0]}, bare, kept"


def _aims(timed: dict[str, Timed]) -> list[Aim]:
    found = []
    for what in ("mint by OpenBao", "revoke by OpenBao"):
        ours, bare = timed[f"{what}, ours"].median, timed[f"{what}, bare, kept"].median
        found.append(
            Aim(
                words=f"{what} in at most twice the bare requests",
                measured=f"{ours / bare:.2f} of a kept connection",
                reached=ours / bare <= _MOST,
                reason="more is looked at: name and leases, the role, what is left, and the database itself",
            )
        )
    for what in ("mint", "revoke"):
        ours, bare = timed[f"{what}, ours"].median, timed[f"{what}, bare, kept"].median
        fresh, theirs = timed[f"{what}, bare, fresh"].median, timed[f"{what}, OpenBao"].median
        found += [
            Aim(
                words=f"{what} in at most twice the bare statements",
                measured=f"{ours / bare:.2f} of a kept connection, {ours / fresh:.2f} of a fresh one",
                reached=ours / bare <= _MOST,
                reason="more is looked at: the group's rights; what it owns, prepared and has open",
            ),
            Aim(
                words=f"{what} faster than OpenBao",
                measured=f"{micro(ours)} µs against {micro(theirs)}",
                reached=ours <= theirs,
                reason=_AGAINST[what],
            ),
        ]
    return found

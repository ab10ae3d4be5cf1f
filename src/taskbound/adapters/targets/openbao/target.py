"""OpenBao as a target: each credential has a role of its own, whose name its leases have.

1. Minting copies the kind's role under the credential's name and end, then requests one secret of it. A
   crash in between leaves the copy, which a sweep finds.
2. Only a role with `default_ttl` and `max_ttl` is copied, and only a lease that lasts until the ordered end
   is handed out, since nothing else would expire in time.
3. A login that another of our targets must end has to carry the credential's name: a login that the
   engine named differently is not handed out (`username_template`).
4. Ending deletes the copy first, so that no further secret is made, then revokes the leases, then ends
   what the other target (`seen_in`) shows, sessions included. The other target is called at the latest
   after half of the call's time, whatever became of the leases: a login can block the engine's
   revocation (it changes its own password in an open transaction), and a sealed or absent server would
   keep its session open. If the engine failed, it is asked again afterwards; if the copy could not be
   deleted, ending fails. Gone means no copy, no lease, and gone in the other target.
5. Without another target nothing shows what is open: an end is left to the lease's own, a look is refused,
   and a test shows only that OpenBao issued a lease under the name.
6. An end cannot be moved: rewriting the copy in a late call could recreate what was deleted.
7. A sweep asks the other target too: a secret requested during an end may come without copy and lease (the
   engine creates the login and fails to store the lease). A sweep also renews the token.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from taskbound.adapters.http import HttpPool
from taskbound.adapters.targets.alone import NameLocks
from taskbound.adapters.targets.openbao.discovering import discover_access
from taskbound.adapters.targets.openbao.link import linked
from taskbound.adapters.targets.tls import require_tls
from taskbound.core.clock import seconds
from taskbound.ports.target import (
    ExpiresAt,
    Gone,
    Minted,
    NameTakenError,
    RenewalUnsupportedError,
    Shown,
    TargetRefusedError,
    TargetUnavailableError,
    TargetUnreachedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from contextlib import AbstractContextManager

    from taskbound.adapters.targets.openbao.link import Link
    from taskbound.core.action import JsonValue
    from taskbound.core.clock import Instant
    from taskbound.core.errors import TaskboundError
    from taskbound.core.target import OpenbaoAccess, OpenbaoKind, OpenbaoPlace
    from taskbound.ports.target import Discovery, MintOrder, Target


_GUIDE: Final = "see docs/guides/openbao.md"
_TTLS: Final = ("default_ttl", "max_ttl")
_FIRST: Final = 0.5
"""The part of an end's time in which the engine may revoke before the login is ended elsewhere (rule 4)."""
_LEAST: Final = 0.05
"""Seconds."""


class OpenbaoTarget:
    """One server with its admin access (`ports.target.Target`)."""

    def __init__(
        self,
        place: OpenbaoPlace,
        access: OpenbaoAccess,
        kinds: Collection[OpenbaoKind],
        seen: Callable[[], Target[Any]] | None = None,
    ) -> None:
        """`seen` opens the `seen_in` target per call; None without one. Raises BadTargetError."""
        self._place = place
        self._access = access
        self._tls = require_tls(place, "the OpenBao's")
        self._engines = sorted({(one.mount, one.roles, one.creds) for one in kinds})
        self._seen = seen
        self._kept = HttpPool()
        self._under_way = NameLocks()

    def mint(self, order: MintOrder, kind: OpenbaoKind, *, patience: float) -> Minted:
        began = time.monotonic()
        if self._seen is not None:
            self._seen()  # what can't be ended is not minted
        name = order.name
        copy, creds = f"{kind.mount}/{kind.roles}/{name}", f"{kind.mount}/{kind.creds}/{name}"
        with self._under_way.alone(name), self._linked(patience - (time.monotonic() - began)) as link:
            if link.read(copy) is not None or link.names(f"sys/leases/lookup/{creds}", sudo=True):
                raise NameTakenError("the OpenBao has a role or a lease of that name")
            role = link.read(f"{kind.mount}/{kind.roles}/{kind.role}")
            if role is None:
                raise TargetRefusedError(
                    f"the OpenBao has no role `{kind.role}` in `{kind.mount}`", remedy=_GUIDE
                )
            if not all(_is_count(role.get(one)) for one in _TTLS):
                raise TargetRefusedError(
                    f"the role `{kind.role}` of the OpenBao says no end of what it gives (`default_ttl` and"
                    " `max_ttl`): such engines are none that credentials are minted by",
                    remedy=_GUIDE,
                )  # 2
            left = -int((time.time() * 1_000_000 - order.ends) // seconds(1))
            if left < 1:
                raise TargetRefusedError("its end is over before it is made")
            link.write(copy, {**role, "default_ttl": left, "max_ttl": left})  # 1
            return self._minted(kind, order, link.give(creds), most=left)

    def renew(self, name: str, ends: Instant, *, patience: float) -> None:  # noqa: ARG002 - nothing can be done
        raise RenewalUnsupportedError(
            "a lease ends when its copy of the role says: to move that could bring back what was taken away"
        )

    def use(self, minted: Minted, *, patience: float) -> None:
        if self._seen is None:
            return
        try:
            self._seen().use(minted, patience=patience)
        except KeyError:
            raise TargetRefusedError(
                f"what is handed out is not what `{self._place.seen_in}` is used with",
                remedy="give the members the names of variables that the other target has, such as"
                " `PGUSER` (open) and `PGPASSWORD`",
            ) from None

    def revoke(self, name: str, *, ends: Instant, patience: float) -> Gone | ExpiresAt:
        """Ends copy, leases, and what the other target shows (rule 4)."""
        deadline = time.monotonic() + patience
        found: Gone | ExpiresAt = ExpiresAt(until=ends)
        failed, trouble = self._take_away(name, patience * (1.0 if self._seen is None else _FIRST))
        if self._seen is not None:
            try:
                found = self._seen().revoke(name, ends=ends, patience=_left(deadline))
            except TargetUnreachedError as error:
                raise trouble or TargetUnavailableError(error.message) from None
            if isinstance(trouble, TargetUnreachedError):
                trouble = TargetUnavailableError(trouble.message)  # the other one was asked
        if trouble is not None:
            raise trouble
        with _sent(), self._linked(_left(deadline)) as link:
            again = [one for one in failed if not link.end_leases(one)]
            if again:
                raise TargetUnavailableError(
                    f"the engine at `{again[0].split('/')[0]}` fails to revoke a lease",
                    remedy="its `revocation_statements` hold for no login that is gone, or owns something",
                )
            if self._has(link, name):
                raise TargetUnavailableError("the OpenBao still shows a role or a lease of the name")
        return found

    def look(self, name: str, *, patience: float) -> Shown:
        if self._seen is None:
            raise TargetRefusedError(
                "nothing shows what is open with what the OpenBao gave",
                remedy="name a target of the database as `seen_in`",
            )  # 5
        with self._linked(patience) as link:
            exists = self._has(link, name)
            with _sent():
                shown = self._seen().look(name, patience=link.left)
        return Shown(exists=exists or shown.exists, open=shown.open)

    def sweep(self, prefix: str, *, patience: float) -> Iterator[str]:
        deadline = time.monotonic() + patience
        found: set[str] = set()
        with self._linked(patience) as link:
            for mount, roles, creds in self._engines:
                found |= set(link.names(f"{mount}/{roles}"))
                found |= set(link.names(f"sys/leases/lookup/{mount}/{creds}", sudo=True))
            link.renew_token()
        yield from (one for one in found if one.startswith(prefix))
        if self._seen is not None:
            with _sent():
                left = max(0.1, deadline - time.monotonic())
                yield from (one for one in self._seen().sweep(prefix, patience=left) if one not in found)

    def discover(self, marks: Collection[str], *, most: int, patience: float) -> Discovery:
        with self._linked(patience) as link:
            return discover_access(link, marks, self._engines, most=most)

    def _take_away(self, name: str, patience: float) -> tuple[list[str], TaskboundError | None]:
        """Deletes copy and leases; returns uncertain lease paths and the error of the copy's deletion."""
        copies, left = True, self._leases(name)
        try:
            with self._linked(patience) as link:
                for mount, roles, _ in self._engines:
                    link.drop(f"{mount}/{roles}/{name}")
                copies = False
                left = [one for one in left if not link.end_leases(one)]
        except (TargetUnavailableError, TargetRefusedError) as error:
            return left, error if copies or self._seen is None else None
        return left, None

    def _minted(
        self, kind: OpenbaoKind, order: MintOrder, given: Mapping[str, JsonValue], *, most: int
    ) -> Minted:
        lease, lasts, data = (given.get(one) for one in ("lease_id", "lease_duration", "data"))
        under = f"{kind.mount}/{kind.creds}/{order.name}/"
        if not isinstance(lease, str) or not lease.startswith(under) or not isinstance(data, dict):
            raise TargetRefusedError(
                f"the engine at `{kind.mount}` gives what has no lease under the name", remedy=_GUIDE
            )
        if lasts != most:
            raise TargetRefusedError(
                "the engine gives a lease with an end of its own",
                remedy="let leases of the mount last as long as the kinds may live (`max_lease_ttl`)",
            )  # 2
        if self._seen is not None and data.get("username") != order.name:
            raise TargetRefusedError(
                f"the engine calls logins otherwise than its credential: `{self._place.seen_in}` ends none",
                remedy="set the connection's `username_template` to `{{.RoleName}}`",
            )  # 3
        values = {}
        for member, variable in kind.gives.items():
            value = data.get(member)
            if not isinstance(value, str) or not value:
                raise TargetRefusedError(
                    f"the engine at `{kind.mount}` gives no text `{member}`",
                    remedy="correct `gives` in the target's file",
                )
            values[member] = (variable, value)
        return Minted(
            open=dict(values[one] for one in kind.open),
            secret=dict(one for member, one in values.items() if member not in kind.open),
        )

    def _leases(self, name: str) -> list[str]:
        return [f"{mount}/{creds}/{name}" for mount, _, creds in self._engines]

    def _has(self, link: Link, name: str) -> bool:
        copies = [link.read(f"{mount}/{roles}/{name}") for mount, roles, _ in self._engines]
        leases = [link.names(f"sys/leases/lookup/{one}", sudo=True) for one in self._leases(name)]
        return any(one is not None for one in copies) or any(leases)

    def _linked(self, patience: float) -> AbstractContextManager[Link]:
        return linked(self._place, self._tls, self._access, patience=patience, kept=self._kept)


@contextmanager
def _sent() -> Iterator[None]:
    """Converts TargetUnreachedError: one of two systems unreached doesn't mean that nothing was sent."""
    try:
        yield
    except TargetUnreachedError as error:
        raise TargetUnavailableError(error.message) from None


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left < _LEAST:
        raise TargetUnavailableError("the OpenBao took longer than the call may take")
    return left


def _is_count(value: JsonValue) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)

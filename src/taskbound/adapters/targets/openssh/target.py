"""An OpenSSH host as a target: the host admits a name, and then the certificate is signed.

1. An existing name is taken, a certificate that the host doesn't know opens nothing, and an interrupted
   mint leaves what a sweep finds.
2. A host whose clock differs by more than `_APART` gets no certificate.
3. A credential is gone only if the helper showed it.
4. Without a helper a mint only signs, an end is left to the certificate, and a look is refused.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from taskbound.adapters.targets.openssh.certificate import Authority, Grant, make_pair, require_key, use_login
from taskbound.adapters.targets.openssh.client import OpensshClient
from taskbound.adapters.targets.openssh.discovering import discover_ways
from taskbound.adapters.targets.openssh.link import Links, is_count
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
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from taskbound.core.clock import Instant
    from taskbound.core.target import OpensshAccess, OpensshKind, OpensshPlace
    from taskbound.ports.target import Discovery, MintOrder


_APART: Final = 30
"""Seconds."""
_NO_ANSWER: Final = "what the host's helper answers is no answer"


class OpensshTarget:
    """One host with its CA and its helper (`ports.target.Target`)."""

    def __init__(self, place: OpensshPlace, access: OpensshAccess, program: str) -> None:
        """Raises BadAdminAccessError for an unusable or missing key, OSError without room for sockets."""
        self._place = place
        self._authority = Authority(access.ca)
        self._ours = {self._authority.mark}
        """Fingerprints of what the broker itself comes with."""
        if place.helped:
            self._ours.add(require_key(access.key))
        self._client = OpensshClient(place, program)
        self._links = Links(self._client, place.helper, access.key) if place.helped else None

    def mint(self, order: MintOrder, kind: OpensshKind, *, patience: float) -> Minted:
        ends = order.ends // seconds(1)
        command = kind.forced(order.context)
        if self._links is not None:
            members = {"account": kind.account, "principals": list(kind.principals), "ends": ends}
            with self._links.linked(patience) as link:
                _require_clock(link.now)  # 2
                answer = link.ask("admit", name=order.name, **members)  # 1
                taken = answer == {"no": "name-taken"}
                if not taken:
                    _ok(answer)
            if taken:
                raise NameTakenError("the host admits the name already, or did")
        pair = make_pair()
        grant = Grant(
            name=order.name,
            principals=kind.principals,
            ends=ends,
            command=command,
            source=kind.source,
            allows=kind.allows,
        )
        certificate = self._authority.sign(pair.public, grant, now=time.time())
        return Minted(
            open={
                "SSH_HOST": self._place.host,
                "SSH_PORT": str(self._place.port),
                "SSH_USER": kind.account,
                "SSH_CERTIFICATE": certificate,
                "SSH_HOST_KEYS": "\n".join(self._place.host_keys),
            },
            secret={"SSH_PRIVATE_KEY": pair.private},
        )

    def renew(self, name: str, ends: Instant, *, patience: float) -> None:  # noqa: ARG002 - nothing can be done
        raise RenewalUnsupportedError("the end of a signed certificate cannot be moved")

    def use(self, minted: Minted, *, patience: float) -> None:
        use_login(self._client, self._authority, minted, helped=self._place.helped, patience=patience)

    def revoke(self, name: str, *, ends: Instant, patience: float) -> Gone | ExpiresAt:
        """Has the host refuse the name and end its connections."""
        if self._links is None:
            return ExpiresAt(until=ends)  # 4
        with self._links.linked(patience) as link:
            answer = link.ask("revoke", name=name, ends=-(-ends // seconds(1)))
            still = answer.get("no") == "still-open"
            cut = 0 if still else _count(_ok(answer, "cut"), "cut")
        if still:
            raise TargetUnavailableError("what it opened on the host is still open")  # 3
        return Gone(cut=cut)

    def look(self, name: str, *, patience: float) -> Shown:
        if self._links is None:
            raise TargetRefusedError(
                "the host has no helper that could show what is there",
                remedy="what was signed ends by itself; a helper on the host can show and end it before",
            )  # 4
        with self._links.linked(patience) as link:
            found = _ok(link.ask("look", name=name), "exists", "open")
            exists, count = found["exists"], _count(found, "open")
            if not isinstance(exists, bool):
                raise TargetUnavailableError(_NO_ANSWER)
        return Shown(exists=exists, open=count)

    def sweep(self, prefix: str, *, patience: float) -> Iterator[str]:
        if self._links is None:
            return iter(())  # 4
        with self._links.linked(patience) as link:
            names = _ok(link.ask("sweep", prefix=prefix), "names")["names"]
            if not isinstance(names, list) or not all(_is_text(one) for one in names):
                raise TargetUnavailableError(_NO_ANSWER)
        return (one for one in names if one.startswith(prefix))

    def discover(self, marks: Collection[str], *, most: int, patience: float) -> Discovery:
        if self._links is None:
            raise TargetRefusedError(
                "the host has no helper (`helper: none`), so it cannot be looked at from here",
                remedy="look there by its own means, or bring a helper: `taskbound target host-helper`",
            )  # 4
        with self._links.linked(patience) as link:
            return discover_ways(link, marks, self._ours, most=most)


def _require_clock(now: int) -> None:
    apart = round(now - time.time())
    if abs(apart) > _APART:
        way = "ahead of" if apart > 0 else "behind"
        raise TargetRefusedError(
            f"the host's clock is {abs(apart)} seconds {way} ours: nothing would end there when it has to",
            remedy="set the clocks of the host and of this machine (NTP)",
        )


def _ok(answer: Mapping[str, Any], *members: str) -> Mapping[str, Any]:
    found = answer.get("ok")
    if not isinstance(found, dict) or found.keys() != set(members):
        raise TargetUnavailableError(_NO_ANSWER)
    return found


def _count(found: Mapping[str, Any], member: str) -> int:
    value = found[member]
    if not is_count(value):
        raise TargetUnavailableError(_NO_ANSWER)
    return int(value)


def _is_text(value: object) -> bool:
    return isinstance(value, str)

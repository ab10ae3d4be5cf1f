"""An AWS account as a target: sessions of a role.

Of `link`:

1. `botocore` signs, encodes and decodes; requests go over our own connection with the call's patience
   (`adapters.http`). Nothing is sent twice, no proxy is used, and no file, variable or metadata service
   supplies an identity.
2. A failure before the first connection stands proves that nothing was sent; a later one doesn't.
3. An answer that is not AWS's counts as not reached, whatever its status.
4. No text of an answer is passed on. Known codes have texts of our own, with the missing right.

Of `target`:

1. AWS doesn't list sessions. A mint asks for the admin's identity and whether any role has a policy of the
   name, then requests one session under the name with the policy that ends it (`core.target.sts`). A crash
   in between leaves a session that no process holds, with a known name.
2. An end writes a policy with the name at every role of the target's kinds, since a name doesn't tell its
   role, and reads it back. More can't be shown: AWS documents that a policy takes seconds to spread.
3. A role has room for about fifty denials, so one stays only as long as its session could act: until the end
   in the session's own policy, by whichever process and however late, though AWS keeps the session. A mint
   first reserves this room at each role, or an agent could request and return credentials to keep all
   other ends away. If there is no room nevertheless, a session whose policy has ended is left; only this
   machine's clock says that it has, so the clock alone never prevents a denial.
4. A look is for the denial: where it stands, nothing of the name can act; where it doesn't, it may.
5. A sweep can name no session. It deletes denials some minutes after they have become useless.
6. An end cannot be moved: it stands in the session's policy.
"""

from __future__ import annotations

import json
import re
import ssl
import threading
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import botocore.session
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError

from taskbound.adapters.http import HttpAddress, HttpConnection, HttpLostError, HttpUnreachedError
from taskbound.adapters.targets.alone import NameLocks
from taskbound.core.clock import Instant, minutes, seconds
from taskbound.core.errors import MalformedError, TaskboundError
from taskbound.core.target.sts import TAG, denial, room, session_policy
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
    from collections.abc import Collection, Iterator, Mapping

    from taskbound.core.target import StsAccess, StsKind, StsPlace
    from taskbound.ports.target import MintOrder


_GUIDE: Final = "see docs/guides/aws.md"
_UNKNOWN: Final = frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "MissingAuthenticationToken",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_DENIED: Final = frozenset(
    {"AccessDenied", "AccessDeniedException", "NotAuthorized", "UnauthorizedOperation"}
)
_LATER: Final = frozenset(
    {
        "ConcurrentModification",
        "EntityTemporarilyUnmodifiable",
        "InternalFailure",
        "RequestLimitExceeded",
        "ServiceFailure",
        "ServiceUnavailable",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
_REFUSED: Final[Mapping[str, str]] = {
    "MalformedPolicyDocument": "AWS can't read the policy of the session",
    "PackedPolicyTooLarge": "AWS takes no policy of a session that is so large",
    "RegionDisabledException": "AWS has no sessions for the account in that region",
    "ValidationError": "AWS does not take what it is asked",
}
_REDIRECTED: Final = range(300, 400)


class AbsentError(Exception):
    """AWS has no such role or policy; never leaves the adapters."""


class FullError(Exception):
    """A role has no room for another policy; never leaves the adapters."""


class Aws:
    """STS and IAM of one account, as one principal; thread-safe."""

    def __init__(self, place: StsPlace, key: str, secret: str, token: str = "") -> None:
        """`token` is a session's; empty for a user's own key."""
        session = botocore.session.Session(session_vars=_ALONE)
        self._tls = ssl.create_default_context()
        self._here = threading.local()
        self._clients: dict[str, Any] = {}
        for service, url in (("sts", place.sts), ("iam", place.iam)):
            client = session.create_client(
                service,
                region_name=place.region,
                endpoint_url=url or None,
                aws_access_key_id=key,
                aws_secret_access_key=secret,
                aws_session_token=token or None,
                config=Config(
                    proxies={},
                    retries={"total_max_attempts": 1},
                    ignore_configured_endpoint_urls=True,
                ),
            )
            client.meta.events.register(f"before-send.{service}", self._send)
            self._clients[service] = client

    @contextmanager
    def asked(self, patience: float) -> Iterator[CallRequests]:
        """Opens one call; all its requests end after `patience` seconds."""
        with ExitStack() as over:
            self._here.asking = asking = CallRequests(
                self._clients, self._tls, over, time.monotonic() + patience
            )
            try:
                yield asking
            finally:
                del self._here.asking

    def _send(self, request: AWSPreparedRequest, **_: object) -> AWSResponse:
        asking: CallRequests = self._here.asking
        return asking.send(request)


class CallRequests:
    """The requests of one call."""

    def __init__(
        self, clients: Mapping[str, Any], tls: ssl.SSLContext, over: ExitStack, deadline: float
    ) -> None:
        self._clients, self._tls, self._over, self._deadline = clients, tls, over, deadline
        self._connections: dict[HttpAddress, HttpConnection] = {}
        self._sent = False

    def ask(self, service: str, operation: str, **told: object) -> Mapping[str, Any]:
        """Returns AWS's answer; after TargetUnavailableError AWS may have done it."""
        client = self._clients[service]
        method = {name: way for way, name in client.meta.method_to_api_mapping.items()}[operation]
        try:
            found: Mapping[str, Any] = getattr(client, method)(**told)
        except TaskboundError:
            raise
        except ClientError as error:
            raise self._meant(service, operation, error) from None
        except Exception as error:  # noqa: BLE001 - it fails at what it can't read in many ways, and quotes it
            raise TargetUnavailableError(
                f"the answer is not from an AWS service ({type(error).__name__})"
            ) from None  # 3
        return found

    def send(self, request: AWSPreparedRequest) -> AWSResponse:
        """Sends a signed request over our own connection, and returns the answer."""
        url = urlsplit(request.url)
        tls = url.scheme == "https"
        address = HttpAddress(host=url.hostname or "", port=url.port or (443 if tls else 80), tls=tls)
        try:
            connection = self._connected(address)
        except HttpUnreachedError as error:
            raise self._unreached(f"AWS is not reached ({error})") from None  # 2
        body = request.body
        headers = {
            name: one.decode("ascii") if isinstance(one, bytes) else str(one)
            for name, one in request.headers.items()
        }
        self._sent = True
        try:
            answer = connection.ask(
                request.method,
                f"{url.path or '/'}" + (f"?{url.query}" if url.query else ""),
                body.encode() if isinstance(body, str) else body,
                headers=headers,
            )
        except HttpLostError as error:
            raise TargetUnavailableError(f"AWS did not answer ({error})") from None
        if answer.too_long or answer.status in _REDIRECTED:
            raise TargetUnavailableError("the answer is not from an AWS service")  # 3
        return AWSResponse(request.url, answer.status, dict(answer.headers), _Whole(answer.raw))

    def _connected(self, address: HttpAddress) -> HttpConnection:
        known = self._connections.get(address)
        if known is None:
            left = self._deadline - time.monotonic()
            made = HttpConnection(address, self._tls if address.tls else None, patience=max(left, 0.0))
            known = self._connections[address] = self._over.enter_context(made)
        return known

    def _unreached(self, words: str) -> TargetUnavailableError:
        return TargetUnavailableError(words) if self._sent else TargetUnreachedError(words)

    def _meant(self, service: str, operation: str, error: ClientError) -> Exception:  # noqa: PLR0911 - one a meaning
        said = error.response.get("Error", {}).get("Code")
        code = said if isinstance(said, str) else ""
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code.startswith("NoSuchEntity"):
            return AbsentError(operation)
        if code == "LimitExceeded":
            return FullError(operation)
        if code in _UNKNOWN:
            return TargetRefusedError(
                "AWS does not know the admin's key, or this machine's clock is not AWS'",
                remedy="give the target another one: `taskbound target admin FILE --admin-stdin`",
            )
        if code in _DENIED:
            return TargetRefusedError(
                f"AWS denies the admin `{service}:{operation}`",
                remedy=f"allow it for the roles of the target's kinds; {_GUIDE}",
            )
        if code in _REFUSED:
            return TargetRefusedError(_REFUSED[code], remedy=_GUIDE)
        if code in _LATER or status >= 500:  # noqa: PLR2004 - a fault of the server's own, by HTTP
            return TargetUnavailableError("AWS has too much to do, or a fault of its own")
        return TargetUnavailableError(
            f"AWS refuses `{service}:{operation}` for a reason that is not known here"
        )


class _Whole:
    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        yield self._raw


_ALONE: Final = {
    "profile": (None, None, None, None),
    "config_file": (None, None, "/dev/null", None),
    "credentials_file": (None, None, "/dev/null", None),
    "ca_bundle": (None, None, None, None),
    "region": (None, None, None, None),
}
"""What `botocore` would look for in variables and files (rule 1)."""


_LEAST: Final = 900
"""Seconds that AWS lets a session be there at least."""
_MOST: Final = 43_200
_SKEW: Final = minutes(1)
"""By how much the clock here may be ahead of AWS'."""
_AFTER: Final = minutes(5)
"""How long a denial stands after nothing of its name could act any more (rule 5)."""
_UNTIL: Final = re.compile(r"until([0-9]{1,12})")


class StsTarget:
    """One account with its admin access (`ports.target.Target`)."""

    def __init__(self, place: StsPlace, access: StsAccess, kinds: Collection[StsKind]) -> None:
        """`kinds` are all kinds of the target's file: they name the roles."""
        self._place = place
        self._aws = Aws(place, access.key, access.secret)
        self._roles = sorted({one.role for one in kinds})
        self._under_way = NameLocks()

    def mint(self, order: MintOrder, kind: StsKind, *, patience: float) -> Minted:
        try:
            policy = session_policy(kind, order.context, order.ends)
        except MalformedError as error:
            raise TargetRefusedError(error.message, remedy=error.advice) from None
        left = int((order.ends - _now()) // seconds(1))
        if left < 1:
            raise TargetRefusedError("its end is over before it is made")
        with self._under_way.alone(order.name), self._aws.asked(patience) as aws:
            self._require_account(aws)
            if any(self._standing(aws, role, order.name) is not None for role in self._roles):
                raise NameTakenError("a role has a policy of the name already")
            self._require_room(aws, order)
            found = self._found(
                aws,
                "sts",
                "AssumeRole",
                RoleArn=self._place.arn(kind.role),
                RoleSessionName=order.name,
                DurationSeconds=min(max(left, _LEAST), _MOST),
                Policy=policy,
                Tags=[{"Key": TAG, "Value": order.name}],
                TransitiveTagKeys=[TAG],
            )
        return self._minted(found, order.name)

    def renew(self, name: str, ends: Instant, *, patience: float) -> None:  # noqa: ARG002 - nothing can be done
        raise RenewalUnsupportedError("the end of a session stands in the policy that it was made with")

    def use(self, minted: Minted, *, patience: float) -> None:
        aws = Aws(
            self._place,
            minted.open["AWS_ACCESS_KEY_ID"],
            minted.secret["AWS_SECRET_ACCESS_KEY"],
            minted.secret["AWS_SESSION_TOKEN"],
        )
        with aws.asked(patience) as one:
            found = self._found(one, "sts", "GetCallerIdentity")
        if ":assumed-role/" not in str(found.get("Arn")) or found.get("Account") != self._place.account:
            raise TargetRefusedError("AWS knows the session as another one than was made")

    def revoke(self, name: str, *, ends: Instant, patience: float) -> Gone | ExpiresAt:
        """Has each role deny the name, and reads that back (rules 2 and 3)."""
        until = Instant(max(ends, _now()) + _SKEW)  # 3
        with self._aws.asked(patience) as aws:
            for role in self._roles:
                if self._denial(aws, role, name) is None and not self._put(
                    aws, role, name, denial(name, until)
                ):
                    return self._full(role, ends)
            if any(self._denial(aws, role, name) is None for role in self._roles):
                raise TargetUnavailableError("AWS does not show yet that the role denies the name")
        return Gone(cut=0, notes=(f"denied by {len(self._roles)} roles, by the tag of its session",))

    def look(self, name: str, *, patience: float) -> Shown:
        with self._aws.asked(patience) as aws:
            return Shown(
                exists=any(self._denial(aws, role, name) is None for role in self._roles),
                open=0,
            )

    def sweep(self, prefix: str, *, patience: float) -> Iterator[str]:
        with self._aws.asked(patience) as aws:
            for role in self._roles:
                for name in self._names(aws, role, prefix):
                    standing = self._standing(aws, role, name)
                    if standing is not None and _now() > standing[0] + _AFTER:
                        aws.ask("iam", "DeleteRolePolicy", RoleName=_last(role), PolicyName=name)
        yield from ()

    def _require_account(self, aws: CallRequests) -> None:
        """A denial in another account would deny nothing here."""
        try:
            found = self._found(aws, "sts", "GetCallerIdentity")
        except TargetRefusedError as error:
            raise TargetUnreachedError(error.message, remedy=error.advice) from None
        if found.get("Account") != self._place.account:
            raise TargetUnreachedError(
                f"the admin's key is of another account than {self._place.account}",
                remedy="correct `account` in the target's file, or give the target another key",
            )

    def _require_room(self, aws: CallRequests, order: MintOrder) -> None:
        text = room(order.name, Instant(order.ends + _SKEW))
        for number, role in enumerate(self._roles):
            if self._put(aws, role, order.name, text):
                continue
            for one in self._roles[:number]:
                aws.ask("iam", "DeleteRolePolicy", RoleName=_last(one), PolicyName=order.name)
            raise TargetUnreachedError(
                f"the role `{role}` has no room for the policy that would end one more session",
                remedy="wait until others are over, let them live shorter, or give agents several roles",
            )

    def _put(self, aws: CallRequests, role: str, name: str, text: str) -> bool:
        try:
            self._found(
                aws,
                "iam",
                "PutRolePolicy",
                RoleName=_last(role),
                PolicyName=name,
                PolicyDocument=text,
            )
        except FullError:
            return False
        return True

    def _full(self, role: str, ends: Instant) -> ExpiresAt:
        if _now() > ends + _SKEW:
            return ExpiresAt(until=ends)
        raise TargetUnavailableError(
            f"the role `{role}` has no room for one more policy",
            remedy="let its credentials live shorter, or give its agents several roles",
        )

    def _denial(self, aws: CallRequests, role: str, name: str) -> Instant | None:
        standing = self._standing(aws, role, name)
        return standing[0] if standing is not None and standing[1] else None

    def _standing(self, aws: CallRequests, role: str, name: str) -> tuple[Instant, bool] | None:
        try:
            found = aws.ask("iam", "GetRolePolicy", RoleName=_last(role), PolicyName=name)
        except AbsentError:
            return None
        until = _until(found.get("PolicyDocument"))
        if until is not None and found["PolicyDocument"] == json.loads(denial(name, until)):
            return until, True
        if until is not None and found["PolicyDocument"] == json.loads(room(name, until)):
            return until, False
        raise TargetUnavailableError(f"another process changed what the role `{role}` denies")

    def _names(self, aws: CallRequests, role: str, prefix: str) -> list[str]:
        found: list[str] = []
        more: dict[str, str] = {}
        while True:
            page = self._found(aws, "iam", "ListRolePolicies", RoleName=_last(role), MaxItems=1000, **more)
            found += [one for one in page.get("PolicyNames", []) if one.startswith(prefix)]
            if not page.get("IsTruncated"):
                return found
            more = {"Marker": page["Marker"]}

    def _found(self, aws: CallRequests, service: str, operation: str, **told: object) -> Mapping[str, Any]:
        try:
            return aws.ask(service, operation, **told)
        except AbsentError:
            raise TargetRefusedError(
                f"the account {self._place.account} has no such role",
                remedy="correct `role` in the target's file",
            ) from None

    def _minted(self, found: Mapping[str, Any], name: str) -> Minted:
        given = found.get("Credentials", {})
        texts = [given.get(one) for one in ("AccessKeyId", "SecretAccessKey", "SessionToken")]
        whose = str(found.get("AssumedRoleUser", {}).get("Arn", ""))
        if not all(isinstance(one, str) and one for one in texts) or not whose.endswith(f"/{name}"):
            raise TargetUnavailableError("AWS gives a session that is not called as it was asked for")
        key, secret, token = texts
        return Minted(
            open={
                "AWS_ACCESS_KEY_ID": key,
                "AWS_DEFAULT_REGION": self._place.region,
                "AWS_REGION": self._place.region,
            },
            secret={"AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": token},
        )


def _last(role: str) -> str:
    """Returns a role's name without its path, as IAM knows it."""
    return role.rpartition("/")[2]


def _until(document: object) -> Instant | None:
    try:
        found = _UNTIL.fullmatch(document["Statement"][0]["Sid"])  # type: ignore[index]  # what it isn't raises
    except (KeyError, TypeError, IndexError):
        return None
    return Instant(int(found[1]) * seconds(1)) if found else None


def _now() -> Instant:
    return Instant(int(time.time() * 1_000_000))

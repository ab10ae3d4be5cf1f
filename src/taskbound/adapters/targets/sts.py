"""An account of AWS as a target: sessions of a role.

Of `link`:

1. `botocore` signs, writes and reads; what is sent goes by a connection of ours that ends with the call's
   patience (`adapters.http`). Nothing is sent twice, no proxy is asked, and no file, variable or service of
   the machine says who we are.
2. What fails before the first connection is there leaves it certain that nothing was sent; nothing that fails
   later does.
3. What is no answer of AWS is one that was not reached, whatever its status says.
4. No word of an answer is passed on. What its code means is said in ours, with the right that is missing.

Of `target`:

1. AWS shows no session: a mint asks who the admin is, whether any role has a policy of the name already, and
   then once for a session under it, with the policy that ends it (`core.target.sts`). A kill between leaves a
   session that nobody has, and whose name is known.
2. An end writes a policy of the name's own at each role of the target's kinds, as a name does not say which
   one it was of, and reads it back. More there is not to be seen: AWS says of itself that it takes seconds
   until a policy counts everywhere.
3. A role has room for some fifty denials. So one stands as long as its session could act: that is until the
   end that is in the session's own policy, whoever made it and however late, though AWS keeps the session.
   Each role has its room for that before the session is asked for, or it isn't: else whoever asks for
   credentials and gives them back keeps the ends of all others away. Where there is no room nevertheless,
   what its policy has ended is left at that; whether it has is this machine's clock to say, so that alone
   keeps no denial away.
4. What is looked for is the denial: where that stands nothing of the name can act, where it doesn't it may.
5. A sweep can name no session. It takes denials away that deny nobody any more, some minutes after.
6. Nobody moves an end: it stands in the policy that the session has.
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
from taskbound.adapters.targets.alone import UnderWay
from taskbound.core.clock import Instant, minutes, seconds
from taskbound.core.errors import MalformedError, TaskboundError
from taskbound.core.target.sts import TAG, denial, room, session_policy
from taskbound.ports.target import (
    Gone,
    Left,
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
    """AWS has no such thing; never leaves the adapters."""


class FullError(Exception):
    """A role has no room for more; never leaves the adapters."""


class Aws:
    """STS and IAM of one account, asked as one principal; used by several threads at once."""

    def __init__(self, place: StsPlace, key: str, secret: str, token: str = "") -> None:
        """Speak as who has this key.

        Args:
            place: Where.
            key: Id of the access key.
            secret: That key.
            token: Of a session; empty for a user's own key.
        """
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
    def asked(self, patience: float) -> Iterator[Asking]:
        """One call of a target: all that is asked in it ends with this patience, in seconds."""
        with ExitStack() as over:
            self._here.asking = asking = Asking(self._clients, self._tls, over, time.monotonic() + patience)
            try:
                yield asking
            finally:
                del self._here.asking

    def _send(self, request: AWSPreparedRequest, **_: object) -> AWSResponse:
        """Send what `botocore` signed (rule 1)."""
        asking: Asking = self._here.asking
        return asking.send(request)


class Asking:
    """What is asked within one call."""

    def __init__(
        self, clients: Mapping[str, Any], tls: ssl.SSLContext, over: ExitStack, deadline: float
    ) -> None:
        """Ask by these until that."""
        self._clients, self._tls, self._over, self._deadline = clients, tls, over, deadline
        self._connections: dict[HttpAddress, HttpConnection] = {}
        self._sent = False

    def ask(self, service: str, operation: str, **told: object) -> Mapping[str, Any]:
        """What AWS answers to an operation, by the names that it has for them.

        Raises:
            AbsentError: There is no such role or policy.
            FullError: The role has no room.
            TargetUnreachedError: Nothing was sent in this call yet, and it can't be.
            TargetUnavailableError: It may have been done.
            TargetRefusedError: AWS says no.
        """
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
                f"what answers for AWS is none of its services ({type(error).__name__})"
            ) from None  # 3
        return found

    def send(self, request: AWSPreparedRequest) -> AWSResponse:
        """Send it by our own connection, and take the answer."""
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
            raise TargetUnavailableError("what answers for AWS is none of its services")  # 3
        return AWSResponse(request.url, answer.status, dict(answer.headers), _Whole(answer.raw))

    def _connected(self, address: HttpAddress) -> HttpConnection:
        known = self._connections.get(address)
        if known is None:
            left = self._deadline - time.monotonic()
            made = HttpConnection(address, self._tls if address.tls else None, patience=max(left, 0.0))
            known = self._connections[address] = self._over.enter_context(made)
        return known

    def _unreached(self, words: str) -> TargetUnavailableError:
        """Nothing was sent, as long as nothing of the whole call was."""
        return TargetUnavailableError(words) if self._sent else TargetUnreachedError(words)

    def _meant(self, service: str, operation: str, error: ClientError) -> Exception:  # noqa: PLR0911 - one a meaning
        """What its code means (rule 4)."""
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
    """An answer that was read, as `botocore` reads one."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        """All of it."""
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
        """Speak to AWS as the admin, of the roles of all kinds that the target's file has."""
        self._place = place
        self._aws = Aws(place, access.key, access.secret)
        self._roles = sorted({one.role for one in kinds})
        self._under_way = UnderWay()

    def mint(self, order: MintOrder, kind: StsKind, *, patience: float) -> Minted:
        """A session of the role (rule 1)."""
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
        """It ends when its policy says (rule 6)."""
        raise RenewalUnsupportedError("the end of a session stands in the policy that it was made with")

    def use(self, minted: Minted, *, patience: float) -> None:
        """Ask AWS whose session it is."""
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

    def revoke(self, name: str, *, ends: Instant, patience: float) -> Gone | Left:
        """Have each role deny the name, and read that back (rules 2 and 3)."""
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
        """Whether a session of the name could still act (rule 4); how many there are AWS doesn't say."""
        with self._aws.asked(patience) as aws:
            return Shown(
                exists=any(self._denial(aws, role, name) is None for role in self._roles),
                open=0,
            )

    def sweep(self, prefix: str, *, patience: float) -> Iterator[str]:
        """Nothing: no session can be named. What denies nobody any more is taken away (rule 5)."""
        with self._aws.asked(patience) as aws:
            for role in self._roles:
                for name in self._names(aws, role, prefix):
                    standing = self._standing(aws, role, name)
                    if standing is not None and _now() > standing[0] + _AFTER:
                        aws.ask("iam", "DeleteRolePolicy", RoleName=_last(role), PolicyName=name)
        yield from ()

    def _require_account(self, aws: Asking) -> None:
        """Require the account that was declared: else what is denied would be denied elsewhere.

        Raises:
            TargetUnreachedError: AWS lets nobody in by this key.
        """
        try:
            found = self._found(aws, "sts", "GetCallerIdentity")
        except TargetRefusedError as error:
            raise TargetUnreachedError(error.message, remedy=error.advice) from None
        if found.get("Account") != self._place.account:
            raise TargetUnreachedError(
                f"the admin's key is of another account than {self._place.account}",
                remedy="correct `account` in the target's file, or give the target another key",
            )

    def _require_room(self, aws: Asking, order: MintOrder) -> None:
        """Have room for the denial at each role (rule 3).

        Raises:
            TargetUnreachedError: One has none: no session is asked for.
        """
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

    def _put(self, aws: Asking, role: str, name: str, text: str) -> bool:
        """Give the role this policy of the name; whether it has room for that."""
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

    def _full(self, role: str, ends: Instant) -> Left:
        """What is to be said where a role has no room (rule 3).

        Raises:
            TargetUnavailableError: The session may act still.
        """
        if _now() > ends + _SKEW:
            return Left(until=ends)
        raise TargetUnavailableError(
            f"the role `{role}` has no room for one more policy",
            remedy="let its credentials live shorter, or give its agents several roles",
        )

    def _denial(self, aws: Asking, role: str, name: str) -> Instant | None:
        """Until when the role's denial of this name has to stand; None without one. As `_standing`."""
        standing = self._standing(aws, role, name)
        return standing[0] if standing is not None and standing[1] else None

    def _standing(self, aws: Asking, role: str, name: str) -> tuple[Instant, bool] | None:
        """Until when the role's policy of this name has to stand, and whether it denies; None without one.

        Raises:
            TargetUnavailableError: The policy is another one than ours.
        """
        try:
            found = aws.ask("iam", "GetRolePolicy", RoleName=_last(role), PolicyName=name)
        except AbsentError:
            return None
        until = _until(found.get("PolicyDocument"))
        if until is not None and found["PolicyDocument"] == json.loads(denial(name, until)):
            return until, True
        if until is not None and found["PolicyDocument"] == json.loads(room(name, until)):
            return until, False
        raise TargetUnavailableError(f"somebody changed what the role `{role}` denies")

    def _names(self, aws: Asking, role: str, prefix: str) -> list[str]:
        """Names of the role's own policies that begin like this."""
        found: list[str] = []
        more: dict[str, str] = {}
        while True:
            page = self._found(aws, "iam", "ListRolePolicies", RoleName=_last(role), MaxItems=1000, **more)
            found += [one for one in page.get("PolicyNames", []) if one.startswith(prefix)]
            if not page.get("IsTruncated"):
                return found
            more = {"Marker": page["Marker"]}

    def _found(self, aws: Asking, service: str, operation: str, **told: object) -> Mapping[str, Any]:
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
    """A role's name without its path, by which IAM knows it."""
    return role.rpartition("/")[2]


def _until(document: object) -> Instant | None:
    """What a denial of ours says; None of any other document."""
    try:
        found = _UNTIL.fullmatch(document["Statement"][0]["Sid"])  # type: ignore[index]  # what it isn't raises
    except (KeyError, TypeError, IndexError):
        return None
    return Instant(int(found[1]) * seconds(1)) if found else None


def _now() -> Instant:
    return Instant(int(time.time() * 1_000_000))

"""What AWS is asked in one call, and what its answers mean.

1. `botocore` signs, writes and reads; what is sent goes by a connection of ours that ends with the call's
   patience (`adapters.http`). Nothing is sent twice, no proxy is asked, and no file, variable or service of
   the machine says who we are.
2. What fails before the first connection is there leaves it certain that nothing was sent; nothing that fails
   later does.
3. What is no answer of AWS is one that was not reached, whatever its status says.
4. No word of an answer is passed on. What its code means is said in ours, with the right that is missing.
"""

from __future__ import annotations

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
from taskbound.core.errors import TaskboundError
from taskbound.ports.target import TargetRefusedError, TargetUnavailableError, TargetUnreachedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from taskbound.core.target import StsPlace


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

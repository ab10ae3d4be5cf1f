"""STS, IAM and S3 of `moto` in a process of its own, which denies what AWS' own rules would.

`moto` keeps roles, policies and sessions, and checks signatures; of policies it reads actions alone. So who
comes to S3 with a session is judged here, by what `moto` keeps: the policies of the role and the one of the
session. Both have to allow it, and neither may deny it (`tests.peers.aws_rules`).

    python -m tests.peers.aws_server ACCOUNT

prints its port and serves until its standard input ends.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from moto.iam.models import iam_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import s3_backends
from moto.sts.models import sts_backends
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.peers.aws_rules import effects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ACTIONS = {"GET": "s3:GetObject", "PUT": "s3:PutObject", "DELETE": "s3:DeleteObject"}
FULL = b"<ErrorResponse><Error><Code>LimitExceeded</Code><Message>10240</Message></Error></ErrorResponse>"
DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


class Judge:
    """Stands before `moto`'s own application."""

    def __init__(self, inner: Callable[..., Iterable[bytes]], account: str) -> None:
        self._inner, self._account = inner, account
        self._tags: dict[str, dict[str, str]] = {}
        """By the name of a session."""
        self.faults: list[tuple[str, int, bytes]] = []
        """Answers that are given once instead: to an action of STS or IAM, with this status."""
        self.asked: list[str] = []
        self.last: dict[str, dict[str, str]] = {}
        """What was asked last, by action."""
        self.most: dict[str, int] = {}
        """Characters of all policies of its own that a role may have; AWS says 10,240, `moto` nothing."""

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        raw = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = _Again(raw)
        if path.startswith("/moto-api"):
            return self._inner(environ, start)
        if path == "/judge":
            return _said(start, 200, json.dumps(self._told(json.loads(raw))).encode())
        if "/s3/" in environ.get("HTTP_AUTHORIZATION", ""):
            return self._serve_objects(environ, start)
        form = {name: values[0] for name, values in parse_qs(raw.decode()).items()}
        action = form.get("Action", "")
        self.asked.append(action)
        self.last[action] = form
        for one in self.faults:
            if one[0] == action:
                self.faults.remove(one)
                return _said(start, one[1], one[2])
        if action == "PutRolePolicy" and self._is_full(form):
            return _said(start, 409, FULL)
        if action == "AssumeRole":
            keys = [one for one in form if re.fullmatch(r"Tags\.member\.\d+\.Key", one)]
            self._tags[form["RoleSessionName"]] = {form[one]: form[one[:-3] + "Value"] for one in keys}
        return self._inner(environ, start)

    def _serve_objects(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """To a session an object as it is judged here: `moto` would deny it what any other is denied."""
        key = environ["HTTP_AUTHORIZATION"].partition("Credential=")[2].partition("/")[0]
        if not key.startswith("ASIA"):
            return self._inner(environ, start)
        path = environ["PATH_INFO"].lstrip("/")
        action = ACTIONS[environ["REQUEST_METHOD"]]
        token = next((one.session_token for one in self._sessions() if one.access_key_id == key), None)
        known = token is not None and token == environ.get("HTTP_X_AMZ_SECURITY_TOKEN")
        if not known or not self.may(key, action, f"arn:aws:s3:::{path}", time.time()):
            return _said(start, 403, DENIED)
        bucket, _, name = path.partition("/")
        found = s3_backends[self._account]["aws"].get_object(bucket, name)
        return _said(start, 200, found.value if found else b"")

    def _told(self, asked: dict[str, Any]) -> Any:
        match asked["what"]:
            case "may":
                return self.may(asked["key"], asked["action"], asked["resource"], asked["at"])
            case "fault":
                self.faults.append((asked["action"], asked["status"], asked["body"].encode()))
            case "asked":
                found, self.asked = self.asked, []
                return found
            case "last":
                return self.last.get(asked["action"])
            case "denials":
                return self._denials(asked["role"])
            case "fills":
                self.most[asked["role"]] = self._size(asked["role"], "") + asked["left"]
            case "takes":
                self.most.clear()
            case "sessions":
                return [
                    {"name": one.session_name, "key": one.access_key_id, "policy": json.loads(one.policy)}
                    | {"tags": self._tags.get(one.session_name), "ends": one.expiration.timestamp()}
                    for one in self._sessions()
                ]
        return None

    def _is_full(self, form: dict[str, str]) -> bool:
        """Whether a role would have more than it may."""
        role, size = form["RoleName"], len("".join(form["PolicyDocument"].split()))
        return role in self.most and size + self._size(role, form["PolicyName"]) > self.most[role]

    def _denials(self, role: str) -> list[str]:
        """Names of the policies by which a role denies everything to the session of that name."""
        iam = iam_backends[self._account]["aws"]
        known = {"aws:CurrentTime": datetime.now(UTC).isoformat()}
        return [
            name
            for name in iam.list_role_policies(role)
            if "Deny"
            in effects(
                json.loads(iam.get_role_policy(role, name)[1]),
                "any:Thing",
                "*",
                known | {"aws:PrincipalTag/taskbound-credential": name},
            )
        ]

    def _size(self, role: str, beside: str) -> int:
        """Characters of the role's own policies but this one; white space does not count."""
        iam = iam_backends[self._account]["aws"]
        texts = (iam.get_role_policy(role, one)[1] for one in iam.list_role_policies(role) if one != beside)
        return sum(len("".join(one.split())) for one in texts)

    def _sessions(self) -> list[Any]:
        return list(sts_backends[self._account]["aws"].assumed_roles)

    def may(self, key: str, action: str, resource: str, at: float) -> bool:
        """What AWS would say: of a session, for the role's own policies and those of the session."""
        session = next((one for one in self._sessions() if one.access_key_id == key), None)
        if session is None or at >= session.expiration.timestamp():
            return False
        iam, role = iam_backends[self._account]["aws"], session.role_arn.rpartition("/")[2]
        texts = [iam.get_role_policy(role, one)[1] for one in iam.list_role_policies(role)]
        known = {f"aws:PrincipalTag/{name}": one for name, one in self._tags[session.session_name].items()}
        known["aws:CurrentTime"] = datetime.fromtimestamp(at, UTC).isoformat()
        of_role = {one for text in texts for one in effects(json.loads(text), action, resource, known)}
        of_session = set(effects(json.loads(session.policy), action, resource, known))
        return "Deny" not in of_role | of_session and "Allow" in of_role and "Allow" in of_session


class _Again:
    """What was read, to be read again."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def read(self, size: int = -1) -> bytes:
        found, self._raw = (self._raw, b"") if size < 0 else (self._raw[:size], self._raw[size:])
        return found

    def readline(self, size: int = -1) -> bytes:
        end = self._raw.find(b"\n") + 1 or len(self._raw)
        return self.read(end if size < 0 else min(end, size))


def _said(start: Callable[..., Any], status: int, body: bytes) -> list[bytes]:
    start(f"{status} said", [("Content-Type", "text/xml"), ("Content-Length", str(len(body)))])
    return [body]


class Quiet(WSGIRequestHandler):
    """Says nothing of what it is asked."""

    protocol_version = "HTTP/1.1"

    def log(self, *_: object) -> None:
        """Nothing."""


def main(account: str) -> None:
    """Serve until nobody holds this process any more."""
    app = Judge(DomainDispatcherApplication(create_backend_app), account)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])

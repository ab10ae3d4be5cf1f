"""An account of AWS of the tests' own (`tests.peers.aws_server`): two roles, and an admin with its rights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import botocore.session
from botocore.config import Config

from taskbound.adapters.targets.sts import StsTarget
from taskbound.core.target import StsAccess, StsKind, StsPlace
from taskbound.core.target.sts import Allowed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.ports.target import Minted


ACCOUNT: Final = "123456789012"
REGION: Final = "eu-central-1"
READER: Final = StsKind(
    role="agents/reports",
    allows=(Allowed(actions=("s3:GetObject",), resources=("arn:aws:s3:::reports/{tenant}/*",)),),
    given=("tenant",),
)
OTHER: Final = StsKind(role="billing", allows=(Allowed(actions=("s3:Get*",), resources=("*",)),))
_TRUST: Final = {
    "Version": "2012-10-17",
    "Statement": {
        "Effect": "Allow",
        "Principal": {"AWS": "*"},
        "Action": ["sts:AssumeRole", "sts:TagSession"],
    },
}
_OPEN: Final = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}}
RIGHTS: Final = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": ["sts:AssumeRole", "sts:TagSession"], "Resource": "*"},
        {
            "Effect": "Allow",
            "Action": [
                "iam:DeleteRolePolicy",
                "iam:GetRolePolicy",
                "iam:ListRolePolicies",
                "iam:PutRolePolicy",
            ],
            "Resource": "*",
        },
    ],
}


@dataclass
class Aws:
    """The account, as its owner has it."""

    port: int
    admin: StsAccess = field(init=False)
    iam: Any = field(init=False)

    def __post_init__(self) -> None:
        """Make roles and the admin, and have signatures and rights count from then on."""
        self.iam = self.client("iam", "AKIAOWNEROWNEROWNER0", "owner-owner-owner")
        for kind in (READER, OTHER):
            path, _, name = kind.role.rpartition("/")
            self.iam.create_role(
                RoleName=name, Path=f"/{path}/" if path else "/", AssumeRolePolicyDocument=json.dumps(_TRUST)
            )
            self.iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=json.dumps(_OPEN))
        self.owner = self._user(
            "owner", {**_OPEN, "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
        )
        self.admin = self._user("taskbound", RIGHTS)
        self.s3 = self.client("s3", self.owner.key, self.owner.secret)
        self.s3.create_bucket(Bucket="reports", CreateBucketConfiguration={"LocationConstraint": REGION})
        for key in ("acme/one", "other/one"):
            self.s3.put_object(Bucket="reports", Key=key, Body=key.encode())
        self.post("/moto-api/reset-auth", b"0")
        self.iam = self.client("iam", self.owner.key, self.owner.secret)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def place(self, port: int = 0, **more: str) -> StsPlace:
        """Where the account is."""
        url = f"http://127.0.0.1:{port or self.port}"
        told = {"account": ACCOUNT, "region": REGION, "sts": url, "iam": url}
        return StsPlace(**{**told, **more})

    def target(self, access: StsAccess | None = None, *, port: int = 0, **more: str) -> StsTarget:
        """As the admin sees it."""
        return StsTarget(self.place(port, **more), access or self.admin, (READER, OTHER))

    def client(self, service: str, key: str, secret: str, token: str | None = None) -> Any:
        """Somebody's own."""
        return botocore.session.Session().create_client(
            service,
            region_name=REGION,
            endpoint_url=self.address,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            aws_session_token=token,
            config=Config(proxies={}, s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )

    def objects(self, minted: Minted) -> Any:
        """What whoever was handed this comes to S3 with."""
        return self.client(
            "s3",
            minted.open["AWS_ACCESS_KEY_ID"],
            minted.secret["AWS_SECRET_ACCESS_KEY"],
            minted.secret["AWS_SESSION_TOKEN"],
        )

    def may(self, minted: Minted, key: str, at: float, action: str = "s3:GetObject") -> bool:
        """What AWS would say of an object."""
        told = {"key": minted.open["AWS_ACCESS_KEY_ID"], "action": action, "at": at}
        found: bool = self.judge("may", resource=f"arn:aws:s3:::reports/{key}", **told)
        return found

    def sessions(self) -> list[dict[str, Any]]:
        """Every session that was ever made."""
        found: list[dict[str, Any]] = self.judge("sessions")
        return found

    def denied(self, name: str) -> bool:
        """Whether every role denies the session of this name."""
        roles = [kind.role.rpartition("/")[2] for kind in (READER, OTHER)]
        return all(name in self.denials(one) for one in roles)

    def denials(self, role: str) -> set[str]:
        """Names of the policies by which a role denies the session of that name."""
        return set(self.judge("denials", role=role))

    def judge(self, what: str, **told: Any) -> Any:
        """Ask the server's own side."""
        return json.loads(self.post("/judge", json.dumps({"what": what, **told}).encode()))

    def post(self, path: str, body: bytes) -> bytes:
        told = {"Content-Type": "text/plain"}
        request = urllib.request.Request(self.address + path, body, told)  # noqa: S310 - a server of this test's own
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - a server of this test's own
            found: bytes = answer.read()
            return found

    def _user(self, name: str, rights: dict[str, Any]) -> StsAccess:
        self.iam.create_user(UserName=name)
        self.iam.put_user_policy(UserName=name, PolicyName="rights", PolicyDocument=json.dumps(rights))
        made = self.iam.create_access_key(UserName=name)["AccessKey"]
        return StsAccess(key=made["AccessKeyId"], secret=made["SecretAccessKey"])


@contextmanager
def aws() -> Iterator[Aws]:
    """Such an account, for the length of the context."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.peers.aws_server", ACCOUNT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "MOTO_ALLOW_NONEXISTENT_REGION": "false"},
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield Aws(int(process.stdout.readline()))
        finally:
            process.stdin.close()
            process.wait(10)

"""An account of AWS in which a daemon's broker mints while something is killed (`tests.crash.grounds`)."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from tests.peers.aws import ACCOUNT, REGION, Aws, aws
from tests.peers.cutting import Cutting, CuttingPort
from tests.wiring.broking import Declared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from taskbound.ports.target import Minted
    from tests.crash.grounds import Ground, Part


@dataclass
class AccountGround:
    """Roles whose sessions are denied by name."""

    aws: Aws
    way: CuttingPort
    opened: int = 0
    parts: tuple[Part, ...] = ()
    renews: bool = False
    held: list[Any] = field(default_factory=list)
    """Who came to S3 with what was handed out."""

    @property
    def ways(self) -> Mapping[str, Cutting]:
        return {"target": self.way}

    @property
    def declared(self) -> Declared:
        url = f"http://127.0.0.1:{self.way.port}"
        file = {
            "target": "aws",
            "kind": "sts",
            "where": {"account": ACCOUNT, "region": REGION, "sts": url, "iam": url},
            "owner": "alice",
            "approvers": ["alice"],
            "credentials": {
                "reports": {
                    "for": "Reads reports.",
                    "role": "agents/reports",
                    "allows": [{"actions": ["s3:GetObject"], "resources": ["arn:aws:s3:::reports/acme/*"]}],
                    "seconds": 600,
                }
            },
        }
        return Declared(file, self.aws.admin)

    @property
    def beside(self) -> tuple[Declared, ...]:
        return ()

    def names(self) -> set[str]:
        """Of sessions that the role denies nothing: what anybody could still use."""
        return {one["name"] for one in self.aws.sessions()} - self.aws.denials("reports")

    def hold(self, minted: Minted) -> None:
        found = self.aws.objects(minted)
        if _reads(found):
            self.held.append(found)
            self.opened += 1

    def require_over(self) -> None:
        assert not [one for one in self.held if _reads(one)], "somebody reads still"
        self.held.clear()

    def kill(self, part: Part) -> None:
        raise NotImplementedError(f"nobody kills AWS, nor its {part}")

    def bring_back(self, part: Part) -> None:
        raise NotImplementedError(f"nobody killed its {part}")

    def stop_at(self, step: str, strike: Callable[[], None]) -> AbstractContextManager[None]:
        raise NotImplementedError(f"an account has no {step} at which {strike} could be called")


def _reads(objects: Any) -> bool:
    try:
        objects.get_object(Bucket="reports", Key="acme/one")
    except ClientError as error:
        if error.response["Error"]["Code"] != "AccessDenied":
            raise
        return False
    return True


@contextmanager
def on_account(folder: Path) -> Iterator[Ground]:  # noqa: ARG001 - the way to it is a port
    """An account, and the way to its port."""
    with aws() as found, CuttingPort(found.port) as way:
        yield AccountGround(found, way)

from __future__ import annotations

import json
import re
import shlex
import sys
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from taskbound.core.target import parse_target_file
from taskbound.ports.target import Minted
from taskbound.wire.document import read_document
from tests.house.tree import ROOT
from tests.peers.aws import Aws, aws
from tests.surfaces.cli.installation import Installation
from tests.surfaces.cli.minted import holding

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = (ROOT / "docs/guides/aws.md").read_text(encoding="utf-8")
FILE = re.search(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[1]  # type: ignore[index]  # it is there
LINES = re.findall(r"^```sh\n(taskbound .*?)^```", PAGE, re.MULTILINE | re.DOTALL)
READS = """
import json, os, botocore.session
from botocore.config import Config
s3 = botocore.session.Session().create_client(
    "s3", endpoint_url={url!r}, config=Config(proxies={{}}, s3={{"addressing_style": "path"}}))
print(s3.get_object(Bucket="reports", Key="acme/one")["Body"].read().decode())
print(json.dumps({{name: one for name, one in os.environ.items() if name.startswith("AWS_")}}))
"""


@pytest.fixture(scope="module")
def account() -> Iterator[Aws]:
    with aws() as found:
        yield found


@pytest.fixture(scope="module")
def place(account: Aws) -> Iterator[Installation]:
    """An installation in which the guide was followed as far as the target."""
    one = Installation()
    try:
        one.prepare()
        written = FILE
        for name in ("sts", "iam"):
            written = written.replace(f"# {name}: https://{name}.example ", f"{name}: {account.address} ")
        (one.project / "aws.yaml").write_text(written, encoding="utf-8")
        process = one.spawn(*shlex.split(LINES[0])[1:])
        out, err = process.communicate(account.admin.text, timeout=50)
        assert process.returncode == 0, (out, err)
        scope = {"grants": [{"tool": "aws__credential/reports", "arguments": {"tenant": {"equals": "acme"}}}]}
        (one.project / "scope.json").write_text(json.dumps(scope), encoding="utf-8")
        limited = one("agent", "ceiling", "helper", "scope.json", "--yes")
        assert limited.status == 0, limited
        yield one
    finally:
        one.end()


def test_the_page_has_the_file_and_the_commands_that_are_tried_here() -> None:
    found = parse_target_file(read_document(FILE.encode(), "aws.yaml").value)
    assert (found.name, found.kind, len(LINES)) == ("aws", "sts", 2)


@pytest.mark.timeout(120)
def test_a_command_reads_with_its_session_and_nobody_does_afterwards(
    place: Installation, account: Aws
) -> None:
    task = place.start_task(scope=str(place.project / "scope.json"))
    words = shlex.split(LINES[1].replace("TASK", task))[1:]
    words = [*words[: words.index("--") + 1], sys.executable, "-c", READS.format(url=account.address)]
    done = place.ended(*words)
    assert (done.status, done.err) == (0, ""), done
    read, told = done.out.splitlines()
    assert read == "acme/one"
    had: dict[str, Any] = json.loads(told)
    assert had["AWS_REGION"] == had["AWS_DEFAULT_REGION"] == "eu-central-1"
    session = Minted(open=had, secret=had)
    with pytest.raises(ClientError, match="AccessDenied"):
        account.objects(session).get_object(Bucket="reports", Key="acme/one")
    (row,) = place("credential", "list", "--task", task, "--json").document["rows"]
    denied = account.denials("reports")
    assert (row["state"], row["name"] in denied) == ("revoked", True)
    for secret in (had["AWS_SECRET_ACCESS_KEY"], had["AWS_SESSION_TOKEN"], account.admin.secret):
        assert not holding(place.home, secret)
    other = [one.replace("tenant=acme", "tenant=other") for one in words]
    refused = place.ended(*other)
    assert (refused.status != 0, "outside" in refused.err) == (True, True), refused

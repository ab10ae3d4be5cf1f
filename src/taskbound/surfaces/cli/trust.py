"""`taskbound agent trust`: trust domains whose workload identities are accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from taskbound.surfaces.cli.identity import agents
from taskbound.surfaces.cli.reading import BadInputError, parse_seconds, read_file
from taskbound.surfaces.cli.screen import moment, shown
from taskbound.surfaces.cli.session import Session, command, group
from taskbound.wire.connection import Done
from taskbound.wire.workload import AddTrust, ListTrusts, RemoveTrust, ShowTrust, TrustDetail, TrustRows

if TYPE_CHECKING:
    from taskbound.wire.workload import TrustRow


trusts = group("trust", "Trust domains (SPIFFE): whose authorities prove which workload is which.")
agents.add_typer(trusts)

DomainArgument = Annotated[
    str, typer.Argument(help="The trust domain, such as corp.example.", show_default=False)
]

FileOption = Annotated[str, typer.Option("--file", metavar="PATH", help="Its bundle is in a file; absolute.")]
WorkloadApiOption = Annotated[
    str,
    typer.Option(
        "--workload-api", metavar="ADDRESS", help="From a Workload API: unix:///PATH or tcp://IP:PORT."
    ),
]
WebOption = Annotated[
    str, typer.Option("--https-web", metavar="URL", help="From an endpoint that a web certificate proves.")
]
SpiffeOption = Annotated[
    str, typer.Option("--https-spiffe", metavar="URL", help="From an endpoint that a SPIFFE ID proves.")
]
EndpointOption = Annotated[
    str, typer.Option("--endpoint", metavar="ID", help="That SPIFFE ID; with `--https-spiffe`.")
]
BundleOption = Annotated[
    str,
    typer.Option(
        "--bundle",
        metavar="FILE",
        help="The bundle to begin with, for an endpoint of the same domain; `-` reads it.",
    ),
]
PrivateOption = Annotated[
    bool, typer.Option("--private", help="The endpoint may stand at a private address.")
]
BoundOption = Annotated[
    str, typer.Option("--bound", help="How old its bundle may become before nothing of it counts; 1m to 24h.")
]


@command(
    trusts,
    "add",
    examples="taskbound agent trust add corp.example --workload-api unix:///run/spire/agent.sock\n"
    "taskbound agent trust add corp.example --file /etc/spiffe/corp.json --bound 10m\n"
    "taskbound agent trust add partner.example --https-web https://partner.example/bundle\n"
    "taskbound agent trust add partner.example --https-spiffe https://spire.partner.example:8443"
    " --endpoint spiffe://partner.example/spire/server --bundle partner.json",
)
def add(  # noqa: PLR0917 -- typer gives arguments by name
    session: Session,
    domain: DomainArgument,
    file: FileOption = "",
    workload_api: WorkloadApiOption = "",
    https_web: WebOption = "",
    https_spiffe: SpiffeOption = "",
    endpoint: EndpointOption = "",
    bundle: BundleOption = "",
    private: PrivateOption = False,
    bound: BoundOption = "15m",
) -> None:
    """Trust a domain; only the owner of the data directory may.

    It has one source. Its bundle is used as the source serves it, and expires if it isn't confirmed in time.
    """
    named = {
        "file": file,
        "workload-api": workload_api,
        "https_web": https_web,
        "https_spiffe": https_spiffe,
    }
    given = [(source, place) for source, place in named.items() if place]
    if len(given) != 1:
        raise BadInputError(
            "a trust domain has one source",
            remedy="give one of `--file`, `--workload-api`, `--https-web` and `--https-spiffe`",
        )
    ((source, place),) = given
    raw = read_file(bundle) if bundle else b""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise BadInputError(f"`{shown(bundle)}` holds no bundle: it is not UTF-8") from error
    ask = AddTrust(
        domain=domain,
        source=source,
        place=place,
        endpoint=endpoint,
        bundle=text,
        private=private,
        bound=parse_seconds(bound),
    )
    session.done(session.ask(ask, Done), f"trust domain {shown(domain)} is believed once its source answers")


@command(trusts, "list", examples="taskbound agent trust list")
def list_all(session: Session) -> None:
    """List the trusted domains, and how fresh their bundles are."""
    found = session.ask(ListTrusts(), TrustRows)
    if session.screen.json:
        session.screen.document(found)
        return
    if not found.rows:
        session.screen.line("no trust domains; add one with `taskbound agent trust add`")
    for one in found.rows:
        session.screen.heading(shown(one.domain))
        session.screen.fields(_fields(one))


@command(trusts, "show", examples="taskbound agent trust show corp.example")
def show(session: Session, domain: DomainArgument) -> None:
    """Show one trust domain with its authorities."""
    found = session.ask(ShowTrust(domain=domain), TrustDetail)
    if session.screen.json:
        session.screen.document(found)
        return
    session.screen.heading(shown(found.row.domain))
    session.screen.fields(
        [
            *_fields(found.row),
            ("  certificates", found.certificates),
            ("  keys for tokens", found.keys),
            ("  digest", found.digest),
        ]
    )


@command(trusts, "remove", asks=True, examples="taskbound agent trust remove corp.example --yes")
def remove(session: Session, domain: DomainArgument) -> None:
    """Stop trusting a domain: its identities prove nothing from now on."""
    session.confirm(f"Remove the trust domain {shown(domain)}? No workload of it is proven from then on.")
    session.done(session.ask(RemoveTrust(domain=domain), Done), f"trust domain {shown(domain)} removed")


def _fields(row: TrustRow) -> list[tuple[str, str | int | tuple[str, ...]]]:
    fresh = moment(row.confirmed) if row.confirmed else "never"
    found: list[tuple[str, str | int | tuple[str, ...]]] = [
        ("  source", f"{row.source} {row.place}" + (" (private)" if row.private else "")),
        ("  confirmed", f"{fresh} (stale: nothing of it counts)" if row.stale else fresh),
        ("  counts for", f"{row.bound} s after that, and is asked for every {row.every} s"),
        ("  sequence", row.sequence),
        ("  authorities", f"{row.x509} for X.509-SVIDs, {row.jwt} for JWT-SVIDs"),
    ]
    if row.endpoint:
        found.insert(1, ("  endpoint", row.endpoint))
    if row.trouble:
        found.append(("  trouble", row.trouble))
    return found

"""`taskbound agent issuer`, `selector`, `key`, `assertion`, `trust`: what authenticates agents."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from taskbound.surfaces.cli.people.identity import NameArgument, agents
from taskbound.surfaces.cli.reading import BadInputError, parse_seconds, read_file
from taskbound.surfaces.cli.screen import Table, moment, shown
from taskbound.surfaces.cli.session import Session, argument, command, group, option
from taskbound.wire import workload as wire
from taskbound.wire.connection import Done
from taskbound.wire.identity import ClaimValue, SetIssuerGroups

selectors = group("selector", "What a credential must say to prove an agent.")
keys = group("key", "The key of an agent, kept where its own processes can't read it.")
IssuerArgument = Annotated[str, argument("NAME", "Its short name here, such as github.")]
issuers = group("issuer", "Whose word proves workloads or people, by OpenID Connect.")
agents.add_typer(issuers)
agents.add_typer(selectors)
agents.add_typer(keys)


@command(
    selectors,
    "add",
    examples="taskbound agent selector add helper --kind oidc --issuer github"
    " --claim /repository=octo/app --claim /ref=refs/heads/main\n"
    "taskbound agent selector add helper --kind jwt-svid --issuer example.org"
    " --subject spiffe://example.org/helper",
)
def add(
    session: Session,
    name: NameArgument,
    kind: Annotated[str, option("--kind", "x509-svid, jwt-svid or oidc.")],
    issuer: Annotated[str, option("--issuer", "A trust domain, or an issuer's short name (`agent issuer`).")],
    subject: Annotated[
        list[str] | None, option("--subject", "The exact subject; repeat it to allow several.")
    ] = None,
    claim: Annotated[
        list[str] | None,
        option(
            "--claim POINTER=TEXT",
            "A claim by JSON Pointer, and the exact text; repeat the pointer for several.",
        ),
    ] = None,
) -> None:
    """Let credentials with all these claims authenticate an agent; only its owner may.

    Refused if one credential could match another agent too.
    """
    answer = session.ask(
        wire.AddSelector(
            agent=name,
            kind=kind,
            issuer=issuer,
            subjects=tuple(subject or ()),
            claims=tuple(map(_claim, claim or ())),
        ),
        Done,
    )
    session.done(answer, f"selector {shown(answer.detail)} proves {shown(name)}")


_ROWS: Final = Table[wire.SelectorRow](
    ("ID", "AGENT", "KIND", "ISSUER", "SUBJECT", "CLAIMS"),
    lambda one: (
        one.id,
        one.agent,
        one.kind,
        one.issuer,
        " or ".join(one.subjects) or "any",
        ", ".join(f"{two.pointer}={two.text}" for two in one.claims) or "-",
    ),
    "no selectors; add one with `taskbound agent selector add`",
)


@command(selectors, "list", examples="taskbound agent selector list helper")
def list_all(
    session: Session,
    name: Annotated[str, argument("[AGENT]", "Its own alone.")] = "",
) -> None:
    """List the claims that authenticate agents."""
    _ROWS.print(session.screen, session.show(wire.ListSelectors(agent=name), wire.SelectorRows).rows)


@command(
    selectors,
    "remove",
    asks=True,
    examples="taskbound agent selector remove helper sel_0123456789abcdef0123456789abcdef --yes",
)
def remove(
    session: Session,
    name: NameArgument,
    selector: Annotated[str, argument("", "Its id, as `list` shows it.")],
) -> None:
    """Remove a selector, so that such credentials no longer authenticate the agent; only its owner may."""
    session.confirm(f"Remove {shown(selector)}? Such credentials prove {shown(name)} no more.")
    ask = wire.RemoveSelector(agent=name, selector=selector)
    session.act(ask, f"{shown(selector)} proves {shown(name)} no more")


@command(
    issuers,
    "add",
    examples="taskbound agent issuer add github --issuer https://token.actions.githubusercontent.com\n"
    "taskbound agent issuer add staff --for people --issuer https://id.example.com --audience taskbound",
)
def add_issuer(  # noqa: PLR0917  # what an issuer is made of, each an option
    session: Session,
    name: IssuerArgument,
    issuer: Annotated[str, option("--issuer", "Its URL, exactly as its tokens say it (`iss`).")],
    use: Annotated[str, option("--for", "workloads or people.")] = "workloads",
    audience: Annotated[
        str, option("--audience", "What its tokens say as `aud`; urn:taskbound:NAMESPACE if not given.")
    ] = "",
    keys: Annotated[
        str, option("--keys FILE", "Its public keys, a JWK set, where it is not to be asked for them.")
    ] = "",
    keys_at: Annotated[
        str, option("--keys-at", "Another origin than its own at which it publishes its keys.")
    ] = "",
    private: Annotated[bool, option("--private", "It may be at addresses that are not public.")] = False,
    token_at: Annotated[
        str, option("--token-at", "For people: another origin at which it may give us tokens.")
    ] = "",
    secret_file: Annotated[
        str,
        option(
            "--secret-file FILE",
            "For people: where the daemon reads our client secret there, of mode 0600; PKCE alone where it"
            " is not given.",
        ),
    ] = "",
) -> None:
    """Trust an issuer to authenticate workloads or persons; only the owner of the data directory may."""
    try:
        text = read_file(keys).decode() if keys else ""
    except UnicodeDecodeError as error:
        raise BadInputError(f"`{shown(keys)}` holds no keys: it is not UTF-8") from error
    ask = wire.AddIdentityIssuer(
        name=name,
        issuer=issuer,
        use=use,
        audience=audience,
        keys=text,
        keys_at=keys_at,
        private=private,
        token_at=token_at,
        secret_file=str(Path(secret_file).absolute()) if secret_file else "",
    )
    session.act(ask, f"issuer {shown(name)} proves {shown(use)}")


_ISSUERS: Final = Table[wire.IdentityIssuerRow](
    ("NAME", "PROVES", "ISSUER", "AUDIENCE", "KEYS", "GROUPS"),
    lambda one: (
        one.name,
        one.use,
        one.issuer,
        one.audience,
        ", ".join(one.keys) or _published(one),
        f"{one.claim}: {', '.join(one.groups)}" if one.claim else "-",
    ),
    "no issuers; add one with `taskbound agent issuer add`",
)


@command(issuers, "list", examples="taskbound agent issuer list")
def list_issuers(session: Session) -> None:
    """List the issuers of workloads and persons."""
    _ISSUERS.print(session.screen, session.show(wire.ListIdentityIssuers(), wire.IdentityIssuerRows).rows)


@command(
    issuers,
    "groups",
    asks=True,
    examples="taskbound agent issuer groups corp --claim /groups --group eng-leads=leads --yes",
)
def set_groups(
    session: Session,
    name: IssuerArgument,
    claim: Annotated[
        str, option("--claim", "The claim, as a JSON Pointer; without it, no groups are assigned.")
    ] = "",
    value: Annotated[
        list[str] | None,
        option("--group VALUE=GROUP", "An exact value of the claim, and the group that it is."),
    ] = None,
) -> None:
    """Map values of an issuer's claim to groups; only the owner of the data directory may.

    Memberships from that issuer end now, and return with each person's next sign-in.
    """
    session.confirm(f"Change what groups {shown(name)} says? Memberships by its word end now.")
    ask = SetIssuerGroups(name=name, claim=claim, groups=tuple(map(_value, value or ())))
    session.act(ask, f"groups by the word of {shown(name)} are changed")


@command(issuers, "remove", asks=True, examples="taskbound agent issuer remove github --yes")
def remove_issuer(session: Session, name: IssuerArgument) -> None:
    """Remove an issuer; refused while selectors or accounts name it."""
    session.confirm(f"Remove the issuer {shown(name)}? It authenticates no agent or person any more.")
    session.act(wire.RemoveIdentityIssuer(name=name), f"issuer {shown(name)} removed")


def _value(text: str) -> ClaimValue:
    found, mark, group = text.rpartition("=")
    if not mark:
        raise BadInputError(f"`{shown(text)}` is no VALUE=GROUP")
    return ClaimValue(value=found, group=group)


def _published(one: wire.IdentityIssuerRow) -> str:
    where = f"published at {one.keys_at}" if one.keys_at else "published"
    return f"{where}, also in a network of your own" if one.private else where


@command(keys, "renew", asks=True, examples="taskbound agent key renew helper --yes")
def renew(session: Session, name: NameArgument) -> None:
    """Replace an agent's key; only its owner may. The old key stops working."""
    session.confirm(f"Make a new key for {shown(name)}? The one it has proves it no more.")
    done = session.ask(wire.RenewAgentKey(agent=name), Done, patience=15.0)
    session.done(done, f"{shown(name)} has the key {shown(done.detail)}")


_KEYS: Final = Table[wire.AgentKeyRow](
    ("KEY", "AGENT", "MADE", "ENDED"),
    lambda one: (one.kid, one.agent, moment(one.made), moment(one.ended) if one.ended else "-"),
    "no keys; an agent gets one when it is registered",
)


@command(keys, "list", examples="taskbound agent key list helper")
def list_keys(
    session: Session,
    name: Annotated[str, argument("[AGENT]", "Its own alone.")] = "",
) -> None:
    """List the agents' keys, including invalid ones."""
    _KEYS.print(session.screen, session.show(wire.ListAgentKeys(agent=name), wire.AgentKeyRows).rows)


@command(
    agents,
    "assertion",
    examples="""
taskbound agent assertion
taskbound run --agent helper -- taskbound agent assertion
""",
)
def assertion(
    session: Session,
    name: Annotated[str, argument("[AGENT]", "Its own agent, if not given.")] = "",
) -> None:
    """Print a client assertion of an agent for our token endpoint; only the agent's processes may.

    It is a `client_assertion` of type `private_key_jwt`, valid for a minute and for one use.
    """
    found = session.show(wire.AssertAgentKey(agent=name), wire.Assertion, patience=15.0)
    session.screen.line(found.token)


def _claim(text: str) -> wire.ClaimText:
    pointer, sign, wanted = text.partition("=")
    if not sign:
        raise BadInputError(f"`{shown(text)}` is no POINTER=TEXT")
    return wire.ClaimText(pointer=pointer, text=wanted)


trusts = group("trust", "Trust domains (SPIFFE): whose authorities prove which workload is which.")
agents.add_typer(trusts)

DomainArgument = Annotated[str, argument("", "The trust domain, such as corp.example.")]

FileOption = Annotated[str, option("--file PATH", "Its bundle is in a file; absolute.")]
WorkloadApiOption = Annotated[
    str, option("--workload-api ADDRESS", "From a Workload API: unix:///PATH or tcp://IP:PORT.")
]
WebOption = Annotated[str, option("--https-web URL", "From an endpoint that a web certificate proves.")]
SpiffeOption = Annotated[str, option("--https-spiffe URL", "From an endpoint that a SPIFFE ID proves.")]
EndpointOption = Annotated[str, option("--endpoint ID", "That SPIFFE ID; with `--https-spiffe`.")]
BundleOption = Annotated[
    str,
    option("--bundle FILE", "The bundle to begin with, for an endpoint of the same domain; `-` reads it."),
]
PrivateOption = Annotated[bool, option("--private", "The endpoint may stand at a private address.")]
BoundOption = Annotated[
    str, option("--bound", "How old its bundle may become before nothing of it counts; 1m to 24h.")
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
def add_trust(  # noqa: PLR0917 -- typer gives arguments by name
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
    ask = wire.AddTrust(
        domain=domain,
        source=source,
        place=place,
        endpoint=endpoint,
        bundle=text,
        private=private,
        bound=parse_seconds(bound),
    )
    session.act(ask, f"trust domain {shown(domain)} is believed once its source answers")


@command(trusts, "list", examples="taskbound agent trust list")
def list_trusts(session: Session) -> None:
    """List the trusted domains, and how fresh their bundles are."""
    found = session.ask(wire.ListTrusts(), wire.TrustRows)
    if session.screen.json:
        session.screen.document(found)
        return
    if not found.rows:
        session.screen.line("no trust domains; add one with `taskbound agent trust add`")
    for one in found.rows:
        session.screen.heading(shown(one.domain))
        session.screen.fields(_fields(one))


@command(trusts, "show", examples="taskbound agent trust show corp.example")
def show_trust(session: Session, domain: DomainArgument) -> None:
    """Show one trust domain with its authorities."""
    found = session.show(wire.ShowTrust(domain=domain), wire.TrustDetail)
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
def remove_trust(session: Session, domain: DomainArgument) -> None:
    """Stop trusting a domain: its identities prove nothing from now on."""
    session.confirm(f"Remove the trust domain {shown(domain)}? No workload of it is proven from then on.")
    session.act(wire.RemoveTrust(domain=domain), f"trust domain {shown(domain)} removed")


def _fields(row: wire.TrustRow) -> list[tuple[str, str | int | tuple[str, ...]]]:
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

"""Spans of requests before a real OTLP/HTTP receiver: what belongs together, and nothing that was sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from taskbound.adapters.trace import OtlpSpans
from taskbound.surfaces.api.auth.oauth import exchanges
from taskbound.surfaces.api.operations.token import TokenFlows
from taskbound.wire.trace import NO_SPAN, Span, Trace, parse_trace
from taskbound.wiring.home import find_socket, make_home
from tests.surfaces.network.acting import Acting, acted
from tests.surfaces.network.agents import Acting as Afar
from tests.surfaces.network.holding import HOST, binding
from tests.surfaces.network.serving import api
from tests.surfaces.network.test_tokens import running, the_task
from tests.token_world import ISSUER
from tests.wiring.running import daemon, until

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GIVEN = f"00-{TRACE}-{PARENT}-01"


class Collector:
    """A receiver of OTLP/HTTP: what it was sent, in the JSON encoding."""

    def __init__(self) -> None:
        self.spans: list[dict[str, Any]] = []
        self.bodies: list[bytes] = []
        self.paths: set[str] = set()
        self.status = 200
        self.goes_on = threading.Event()
        self.goes_on.set()
        collector = self

        class Receiving(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.goes_on.wait(20)
                collector.take(self.path, body)
                self.send_response(collector.status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's own name
                del format, args

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Receiving)
        self.origin = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def take(self, path: str, body: bytes) -> None:
        self.paths.add(path)
        self.bodies.append(body)
        for one in json.loads(body)["resourceSpans"]:
            (service,) = (
                each["value"]["stringValue"]
                for each in one["resource"]["attributes"]
                if each["key"] == "service.name"
            )
            for scope in one["scopeSpans"]:
                self.spans += [{**span, "service": service} for span in scope["spans"]]

    def of(self, trace: str) -> dict[str, dict[str, Any]]:
        """The spans of this trace by name, with attributes as they were meant."""
        return {
            one["name"]: {
                **one,
                "told": {each["key"]: next(iter(each["value"].values())) for each in one["attributes"]},
            }
            for one in self.spans
            if one["traceId"] == trace
        }


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()
    collector.thread.start()
    try:
        yield collector
    finally:
        collector.goes_on.set()
        collector.server.shutdown()
        collector.server.server_close()


@contextmanager
def traced(act: Acting, collector: Collector) -> Iterator[OtlpSpans]:
    """Have the daemon within the test send its spans there, too."""
    spans = OtlpSpans(collector.origin, service="taskbound-daemon", pause=0.05)
    act.one.place.daemon.network.tracing.take = spans.take
    try:
        yield spans
    finally:
        spans.close()


def test_a_requests_spans_belong_together_and_say_which_task_operation_and_verdict(tmp_path: Path) -> None:
    with (
        collecting() as collector,
        acted(tmp_path, "--traces", collector.origin) as act,
        traced(act, collector),
    ):
        task, token = running(act.one), act.one.person()
        agents = act.one.tokens.issue(the_task(act.one), audience=ISSUER, binding=binding()).text
        act.one.ask("POST", f"/v1/tasks/{task}/pause", token, b'{"reason":"secret words"}', Traceparent=GIVEN)
        until(lambda: len(collector.of(TRACE)) == 5, "all spans are there")
        found = collector.of(TRACE)
        route = found["POST /v1/tasks/{task}/pause"]
        operation = found["task:pause"]
        assert (route["parentSpanId"], route["kind"], route["service"]) == (PARENT, 2, "taskbound-api")
        assert route["told"]["http.response.status_code"] == "200"
        assert (operation["parentSpanId"], operation["service"]) == (route["spanId"], "taskbound-daemon")
        assert operation["told"]["taskbound.task"] == task
        assert operation["told"]["taskbound.principal"] == "Person"
        for stage in ("prove", "authorize", "do"):
            one = found[stage]
            assert one["parentSpanId"] == operation["spanId"]
            assert int(operation["startTimeUnixNano"]) <= int(one["startTimeUnixNano"])
            assert int(one["endTimeUnixNano"]) <= int(operation["endTimeUnixNano"])
        other = f"00-{'ab' * 16}-{PARENT}-01"
        refused = act.one.ask("GET", "/v1/tasks", agents, Traceparent=other)
        assert refused.status in {401, 403}  # an agent reads nothing
        until(lambda: "task:list" in collector.of("ab" * 16), "the refusal is there")
        told = collector.of("ab" * 16)["task:list"]
        assert (told["told"]["taskbound.error"], told["status"]["code"]) == (refused.code, 2)
        asked = act.one.ask(
            "GET", f"/v1/tasks/{token[-40:]}", token, Traceparent=f"00-{'ee' * 16}-{PARENT}-01"
        )
        assert asked.status == 404
        until(lambda: "task:show" in collector.of("ee" * 16), "what is no id is there")
        assert "taskbound.task" not in collector.of("ee" * 16)["task:show"]["told"]
        sent = b"".join(collector.bodies).decode()
        for secret in (token, token[-40:], agents, "secret words", "ann"):
            assert secret not in sent
        assert collector.paths == {"/v1/traces"}


def test_an_actions_spans_say_how_long_its_evaluation_and_its_groups_commit_took(tmp_path: Path) -> None:
    with (
        collecting() as collector,
        acted(tmp_path, "--traces", collector.origin) as act,
        traced(act, collector),
    ):
        agent = Afar(act.one)
        asked = agent.ask(Traceparent=GIVEN)
        assert asked.status == 200, asked.body
        until(lambda: collector.of(TRACE).keys() >= {"POST /v1/actions", "action:ask"}, "all is there")
        found = collector.of(TRACE)
        operation = found["action:ask"]
        assert operation["told"]["taskbound.action"] == asked.json["action"]
        assert operation["told"]["taskbound.task"] == agent.task.id
        assert operation["told"]["taskbound.verdict"] == "action-permitted"
        for stage in ("evaluate", "commit"):
            one = found[stage]
            assert one["parentSpanId"] == operation["spanId"]
            assert int(found["do"]["startTimeUnixNano"]) <= int(one["startTimeUnixNano"])
            assert int(one["endTimeUnixNano"]) <= int(found["do"]["endTimeUnixNano"])
        assert int(found["evaluate"]["endTimeUnixNano"]) <= int(found["commit"]["startTimeUnixNano"])
        assert found["commit"]["told"] == {"taskbound.group": "1"}
        assert found["evaluate"]["told"] == {}
        assert "bob" not in b"".join(collector.bodies).decode()


def test_a_tokens_signature_is_a_stage_of_the_request_that_waits_for_it(tmp_path: Path) -> None:
    with (
        collecting() as collector,
        acted(tmp_path, "--traces", collector.origin) as act,
        traced(act, collector),
    ):
        daemon, here = act.one.place.daemon, act.one.tokens
        daemon.token.issuing = TokenFlows(act.world.adapters, here.tokens.issuing, here.signer).issuing
        daemon.exchanges = exchanges(daemon)
        task = the_task(act.one)
        form = act.form(task.id)
        asked = act.post("/oauth/token", form, DPoP=act.dpop(), Traceparent=GIVEN)
        assert asked.status == 200, asked.body
        until(lambda: collector.of(TRACE).keys() >= {"token:exchange", "sign"}, "all is there")
        found = collector.of(TRACE)
        assert found["sign"]["parentSpanId"] == found["token:exchange"]["spanId"]
        assert int(found["do"]["startTimeUnixNano"]) <= int(found["sign"]["startTimeUnixNano"])
        sent = b"".join(collector.bodies).decode()
        assert asked.json["access_token"] not in sent
        assert form["client_assertion"] not in sent


@pytest.mark.parametrize(
    "said",
    [
        "",
        "garbage",
        GIVEN.upper(),
        f"01-{TRACE}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{NO_SPAN}-01",
        f"00-{TRACE}-{PARENT}-1",
        f"{GIVEN}-more",
        f" {GIVEN}",
        f"{GIVEN}\n",
        "0" * 9000,
    ],
)
def test_what_is_no_traceparent_is_none(said: str) -> None:
    assert parse_trace(said) is None


def test_a_traceparent_is_read_back_as_it_is_written() -> None:
    assert parse_trace(GIVEN) == Trace(trace=TRACE, span=PARENT, sampled=True)
    for text in (GIVEN, f"00-{TRACE}-{PARENT}-00"):
        found = parse_trace(text)
        assert found is not None
        assert found.text == text


def test_a_malformed_trace_begins_anew_and_one_that_nobody_keeps_is_sent_nowhere(tmp_path: Path) -> None:
    with (
        collecting() as collector,
        acted(tmp_path, "--traces", collector.origin) as act,
        traced(act, collector),
    ):
        token = act.one.person()
        kept = f"00-{'cd' * 16}-{PARENT}-00"
        assert act.one.ask("GET", "/v1/status", token, Traceparent=kept).status == 200
        assert act.one.ask("GET", "/v1/status", token, Traceparent=f"00-{TRACE}-xx-01").status == 200
        until(lambda: any(one["name"] == "do" for one in collector.spans), "the second is there")
        assert collector.of("cd" * 16) == {}
        assert collector.of(TRACE) == {}
        (trace,) = {one["traceId"] for one in collector.spans}
        until(lambda: "GET /v1/status" in collector.of(trace), "its first span is there")
        assert "parentSpanId" not in collector.of(trace)["GET /v1/status"]


def test_a_daemon_and_its_api_send_their_spans_where_they_are_told_to(tmp_path: Path) -> None:
    home = tmp_path / "home"
    make_home(home)
    with (
        collecting() as collector,
        daemon(home, "--issuer", ISSUER, "--traces", collector.origin, "--log-level", "debug") as process,
        api(find_socket(home), "--origin", ISSUER, "--traces", collector.origin) as there,
    ):
        answer = there.ask("GET", "/v1/status", Host=HOST, Authorization="DPoP nobody", Traceparent=GIVEN)
        assert answer.status == 401
        until(lambda: len(collector.of(TRACE)) == 3, "the spans of both are there")
        found = collector.of(TRACE)
        assert found["connection:status"]["told"]["taskbound.error"] == answer.code
        assert found["connection:status"]["parentSpanId"] == found["GET /v1/status"]["spanId"]
        assert {one["service"] for one in found.values()} == {"taskbound-api", "taskbound-daemon"}
        until(lambda: answer.code in process.words, "the refusal is in the log")
        lines = [json.loads(one) for one in process.words.splitlines() if one.startswith("{")]
        assert {one["event"] for one in lines if one.get("trace") == TRACE}
        assert all(one.get("trace") == TRACE for one in lines if f"[{answer.code}]" in one["event"])
        assert any("trace" not in one for one in lines)
        other = f"00-{'ef' * 16}-{PARENT}-01"
        twice = there.head("GET", "/livez", Host=HOST, Traceparent=other)[:-2]
        assert there.send(twice + f"Traceparent: {other}\r\n\r\n".encode()).status == 200
        until(lambda: any(one["name"] == "GET /livez" for one in collector.spans), "it is traced anew")
        assert collector.of("ef" * 16) == {}


def span(number: int) -> Span:
    return Span(name="x", trace=TRACE, span=f"{number + 1:016x}", parent=NO_SPAN, began=1, ended=2)


def test_a_collector_that_hangs_or_refuses_holds_nothing_up_and_what_is_dropped_is_counted() -> None:
    with collecting() as collector:
        collector.goes_on.clear()
        spans = OtlpSpans(collector.origin, service="x", queue=10, pause=0.01)
        for number in range(1000):
            spans.take(span(number))
        assert spans.dropped >= 900
        collector.status = 503
        collector.goes_on.set()
        spans.close()
        assert spans.dropped == 1000

"""What a running worker tells about itself: `/livez`, `/readyz` and `/metrics`.

Nothing is counted for Prometheus on the way of a record: whoever asks for `/metrics` makes us look at what the worker,
its tasks and its endpoints know anyway.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from penstock.operators.error import Misused, Unreachable
from penstock.operators.event import Progress
from penstock.pipelines.endpoint import Endpoint
from penstock.pipelines.keeper import Keeper
from penstock.pipelines.observe_inputs import input_counters
from penstock.pipelines.run import Session
from penstock.pipelines.worker import Worker


class Counted(NamedTuple):
    """How a counter of the core is called in Prometheus: `penstock_<name>_total{<label>=…}`."""

    name: str
    label: str
    help: str


COUNTED: Mapping[str, Counted] = {
    "events": Counted("events", "source", "Records taken in, bad ones included."),
    "rows": Counted("table_records", "table", "Records of tables taken in, tombstones and bad ones included."),
    "moved": Counted("moved", "source", "Records of rekeyed sources that were brought to where their keys are."),
    "fired": Counted("firings", "trigger", "Firings of each trigger."),
    "resolved": Counted("resolved", "trigger", "Episodes that ended."),
    "suppressed": Counted("suppressed", "trigger", "Firings that fell into a cooldown."),
    "inhibited": Counted("inhibited", "trigger", "Firings that another trigger inhibited: `skipped` records."),
    "limit": Counted("limited", "trigger", "Firings that a limit held back: `skipped` records."),
    "sampled_out": Counted("sampled_out", "trigger", "Firings that `sample` left out: no run, no record."),
    "ignored": Counted("ignored_events", "source", "Events that `ignore` took out."),
    "duplicate": Counted("duplicate_events", "source", "Events that `dedupe` found to be there already."),
    "without_tenant": Counted("events_without_tenant", "source", "Kept events that do not say whose they are."),
    "tenant_changed": Counted("tenant_changes", "source", "Events that name another tenant than their key had."),
    "late": Counted("late_events", "source", "Events later than `watermark.lateness` allows."),
    "late_for_trigger": Counted("late_for_trigger", "trigger", "Events older than the last one that a sequence took."),
    "corrected": Counted("corrections", "trigger", "Firings that an event of before, fed after, changed."),
    "beyond_correction": Counted("beyond_correction", "trigger", "Events that came too late to change a firing."),
    "decisions_dropped": Counted("decisions_dropped", "trigger", "Firings that were too many to be corrected."),
    "partials_dropped": Counted("partials_dropped", "trigger", "Beginnings of sequences that were too many."),
    "forgotten": Counted("keys_forgotten", "pipeline", "Keys whose time was over: see `context.forget`."),
    "dead": Counted("dead_letters", "reason", "Records that could not be used, and outputs that were refused."),
    "failed": Counted("failed_results", "agent", "Results without an answer."),
    "degraded": Counted("degraded_results", "agent", "Results that are less than was asked for."),
    "judgements": Counted("judgements", "trigger", "Model calls about events, however they ended."),
    "judged_before": Counted("judged_before", "trigger", "Events whose text was asked about already: no call."),
    "judgement_tokens": Counted("judgement_tokens", "trigger", "Tokens of model calls about events."),
    "unjudged": Counted("unjudged", "trigger", "Events of which no model could say what they are: they fire nothing."),
    "expression_unknown": Counted("expression_unknown", "expression", "Evaluations that missed a value: never true."),
    "expression_errors": Counted("expression_errors", "expression", "Evaluations that met a value of the wrong type."),
}
"""What the core counts under a name that is not here is exported under that very name, labelled `which`."""


class WorkerCollector(Collector):
    """Reads a worker's numbers at the moment they are asked for."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def collect(self) -> Iterator[Metric]:
        yield self._build()
        yield from self._counted()
        yield from self._tasks()
        yield from self._inputs()
        yield from input_counters(self._worker.inputs)
        yield from self._endpoints()
        yield from self._registry()

    def _build(self) -> Metric:
        process = self._worker.process
        about = {"pipeline": process.plan.name, "definition": process.plan.digest, "version": process.build}
        return InfoMetricFamily("penstock_build", "What runs here.", value={**about, "owner": process.owner})

    def _counted(self) -> Iterator[Metric]:
        families: dict[str, CounterMetricFamily] = {}
        for (what, *which), count in sorted(self._worker.process.tally.items()):
            known = COUNTED.get(what, Counted(what, "which", "Counted by the core."))
            if what not in families:
                families[what] = CounterMetricFamily(f"penstock_{known.name}", known.help, labels=[known.label])
            families[what].add_metric([",".join(which)], count)
        yield from families.values()

    def _tasks(self) -> Iterator[Metric]:
        keepers = self._worker.keepers
        opened = CounterMetricFamily("penstock_task_opened", "How often the log was opened.", labels=["partition"])
        for keeper in keepers:
            opened.add_metric([_partition(keeper)], keeper.times_opened)
        yield opened
        yield _gauge("task_open", "1 while the task takes in records.", keepers, lambda keeper: keeper.working)
        for name, text, value in TASK_GAUGES:
            yield _gauge(name, text, keepers, _of_session(value))

    def _inputs(self) -> Iterator[Metric]:
        labels = ["topic", "partition"]
        lag = GaugeMetricFamily("penstock_input_lag_records", "Records not read yet.", labels=labels)
        paused = GaugeMetricFamily("penstock_input_paused", "1 while back-pressure holds the input.", labels=labels)
        for topic, partition, progress, is_paused in _read_by(self._worker):
            place = [topic, str(partition)]
            lag.add_metric(place, max(0, progress.end_seen - progress.position))
            paused.add_metric(place, is_paused)
        yield from (lag, paused)

    def _endpoints(self) -> Iterator[Metric]:
        endpoints = list(self._worker.process.admission.endpoints.values())
        for name, text, value in ENDPOINT_GAUGES:
            gauge = GaugeMetricFamily(f"penstock_{name}", text, labels=["endpoint"])
            for endpoint in endpoints:
                gauge.add_metric([endpoint.name], value(endpoint))
            yield gauge
        calls = CounterMetricFamily(
            "penstock_model_calls", "Model calls by how they went.", labels=["endpoint", "outcome"]
        )
        tokens = CounterMetricFamily(
            "penstock_model_tokens", "Tokens by the server's count.", labels=["endpoint", "kind"]
        )
        for endpoint in endpoints:
            ledger = endpoint.ledger
            for outcome in ("begun", "answered", "lost", "cancelled", "retried", "pushed_back"):
                calls.add_metric([endpoint.name, outcome], getattr(ledger, outcome))
            for kind in ("input", "cached_input", "output"):
                tokens.add_metric([endpoint.name, kind], getattr(ledger, f"{kind}_tokens"))
        yield from (calls, tokens)

    def _registry(self) -> Iterator[Metric]:
        schemas = self._worker.process.schemas
        if schemas is None:
            return
        yield GaugeMetricFamily(
            "penstock_registry_waiting", "1 while records wait for the schema registry.", value=bool(schemas.trouble)
        )
        requests = CounterMetricFamily(
            "penstock_registry_requests", "Requests for schemas by how they went.", labels=["outcome"]
        )
        for outcome in ("found", "unknown", "failed"):
            requests.add_metric([outcome], schemas.requests[outcome])
        yield requests


def _watermark(session: Session) -> float:
    return (session.core.watermark or 0) / 1000


TASK_GAUGES: tuple[tuple[str, str, Callable[[Session], float]], ...] = (
    ("runs_open", "Runs without an outcome.", lambda session: session.core.open_runs),
    ("table_rows", "Rows of tables that are known.", lambda session: session.core.rows),
    ("tables_loading", "1 while events wait for the tables to be read.", lambda session: session.loading.under_way),
    ("keys", "Keys that are remembered.", lambda session: session.core.keys),
    (
        "watermark_seconds",
        "How far event time has come, in seconds since the epoch; 0 before the first event.",
        _watermark,
    ),
    ("unsaved_bytes", "Estimated weight of what is not committed yet.", lambda session: session.core.unsaved_bytes),
)
ENDPOINT_GAUGES: tuple[tuple[str, str, Callable[[Endpoint], float]], ...] = (
    ("model_calls_in_flight", "Model calls under way.", lambda endpoint: endpoint.seated),
    ("model_calls_waiting", "Model calls that wait for a seat.", lambda endpoint: len(endpoint.waiting)),
    ("model_busy", "1 while the endpoint asks us to wait.", lambda endpoint: endpoint.busy),
)


def _partition(keeper: Keeper) -> str:
    return str(keeper.task.partition)


def _of_session(value: Callable[[Session], float]) -> Callable[[Keeper], float]:
    return lambda keeper: 0 if keeper.session is None else value(keeper.session)


def _gauge(name: str, text: str, keepers: list[Keeper], value: Callable[[Keeper], float]) -> Metric:
    gauge = GaugeMetricFamily(f"penstock_{name}", text, labels=["partition"])
    for keeper in keepers:
        gauge.add_metric([_partition(keeper)], value(keeper))
    return gauge


def _read_by(worker: Worker) -> Iterator[tuple[str, int, Progress, bool]]:
    """What is read, also by first stages: topic, partition, how far, and whether it is paused."""
    for each in (worker, *worker.before):
        sessions = [(keeper.task.partition, keeper.session) for keeper in each.keepers if keeper.session is not None]
        for partition, session in sessions:
            for name, progress in session.progress.items():
                yield *each.process.layout.place(name, partition), progress, name in session.paused


def registry_of(worker: Worker) -> CollectorRegistry:
    """The worker's histograms and everything else that it knows, in one registry that is nobody else's."""
    registry = worker.process.meters.registry
    registry.register(WorkerCollector(worker))
    return registry


def unready(worker: Worker) -> list[str]:
    """Why this process should get no traffic, or be looked at: a sentence per task that is not open, one for a registry
    for which all of them wait, and one per input that does not get on."""
    schemas = worker.process.schemas
    return [
        *([schemas.trouble] if schemas is not None and schemas.trouble else []),
        *_not_open(worker),
        *(f"bringing together by key: {reason}" for first in worker.before for reason in unready(first)),
        *([] if worker.inputs is None else worker.inputs.troubles()),
        *_loading(worker),
    ]


def _not_open(worker: Worker) -> list[str]:
    return [
        f"task {keeper.task.partition}: {keeper.trouble or 'being opened'}"
        for keeper in worker.keepers
        if not keeper.working
    ]


def _loading(worker: Worker) -> list[str]:
    sessions = [(keeper.task.partition, keeper.session) for keeper in worker.keepers if keeper.session is not None]
    return [
        f"task {partition}: loading tables {', '.join(session.loading.tables)}, {session.loading.left:,} records to read"
        for partition, session in sessions
        if session.loading.under_way
    ]


def application(worker: Worker) -> web.Application:
    """The three pages. `/livez` answers while the event loop turns; `/readyz` is 503 while there is an `unready` reason."""
    registry = registry_of(worker)

    async def livez(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        reasons = unready(worker)
        return web.Response(text="\n".join(reasons or ["ok"]) + "\n", status=503 if reasons else 200)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    pages = web.Application()
    pages.add_routes([web.get("/livez", livez), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    return pages


@asynccontextmanager
async def serve(worker: Worker, listen: str) -> AsyncIterator[str]:
    """Serve the pages at `listen` (`:9464`, `127.0.0.1:9464`; port 0: a free one); yields the address.

    Raises Misused for an address that is none, Unreachable where it is taken.
    """
    host, port = parse_listen(listen)
    runner = web.AppRunner(application(worker), access_log=None)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise Unreachable(
                f"cannot listen: {error.strerror}", where=listen, remedy="choose another --listen"
            ) from error
        bound = runner.addresses[0]
        yield f"http://{host or '127.0.0.1'}:{bound[1]}"
    finally:
        await runner.cleanup()


def parse_listen(listen: str) -> tuple[str | None, int]:
    """`host:port`, or `:port` for all interfaces."""
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65_535:
        raise Misused(f"{listen!r} is not an address", where="--listen", remedy="write :9464 or 127.0.0.1:9464")
    return host.strip("[]") or None, int(port)

"""A pipeline on a stage in memory: real core, real broker, real worker; a scripted model, virtual time, faults as input."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path
from random import Random
from typing import Any

from tests.virtual_time import BEGINNING_MS, VirtualClock

from penstock.connectors.memory import CommitStep, MemoryBroker, MemoryCluster
from penstock.connectors.port import Broker, Model
from penstock.connectors.scripted import ScriptedModel
from penstock.operators.event import ChatRequest
from penstock.operators.record import Raw
from penstock.pipelines.compile import Pipeline, compile_pipeline
from penstock.pipelines.load import load_pipeline
from penstock.pipelines.worker import Summary, Worker, WorkerOptions

WATCH = """
penstock: v1
name: watch
sources:
  auth: {topic: auth, key: event.host, watermark: {idle: never}}
triggers:
  failed: {each: event.outcome == "failed", agent: judge}
  many: {when: 'count(event.outcome == "failed", 60s) >= 3', agent: judge, cooldown: 0s}
  odd: {each: event.outcome == "odd", agent: none}
models:
  small: {base_url: "http://127.0.0.1:9/v1", model: tiny}
agents:
  judge:
    ask: Is {{ key }} under attack?
    answer: {verdict: {enum: [attack, benign]}, why: {type: string}}
    partials: {every: 100ms}
"""
"""A firing per failed login, an episode when there are many, and a rule without a model. Time that passes means nothing."""


LINE = "x" * 2000
"""Events weigh enough that many commits carry a bucket."""


@cache
def compiled(text: str) -> Pipeline:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.yaml"
        path.write_text(text)
        return compile_pipeline(load_pipeline([path], environ={}))


def judge(request: ChatRequest) -> str:
    """A function of the prompt and nothing else; long enough to be shown while it grows."""
    digest = blake2b("\n".join(message.content for message in request.messages).encode(), digest_size=4).hexdigest()
    verdict = "attack" if int(digest, 16) % 2 else "benign"
    return json.dumps({"verdict": verdict, "why": f"because of {digest} and " + "so on and " * 12 + "so forth"})


def logins(seed: int, count: int, hosts: int = 4) -> list[tuple[str, str]]:
    """Hosts and outcomes; about one login in five failed."""
    random = Random(seed)
    outcomes = random.choices(["ok", "failed", "odd"], weights=[15, 4, 1], k=count)
    return [(f"host-{random.randrange(hosts)}", outcome) for outcome in outcomes]


class Stage:
    """One cluster with the topics of one pipeline. `steps` is the cluster's own script of commits.

    Everything is called within one virtual loop.
    """

    def __init__(self, text: str = WATCH, *, partitions: int = 1, steps: Iterable[CommitStep] = ()) -> None:
        self.pipeline = compiled(text)
        self.clock = VirtualClock()
        self.cluster = MemoryCluster(self.clock, steps)
        self._partitions = partitions
        self._members = self._produced = 0

    async def open(self) -> Stage:
        front = self.broker()
        for topic in self.pipeline.layout.read:
            await front.create_topic(topic, self._partitions)
        await front.start()
        self.front = front
        return self

    def broker(self, **options: Any) -> MemoryBroker:
        """The view of one more process."""
        self._members += 1
        return MemoryBroker(self.cluster, self.pipeline.layout, f"worker-{self._members}", **options)

    async def produce(self, events: Sequence[tuple[str, str]], *, seconds_apart: float = 0.0) -> None:
        """Event time goes on by a second from one event to the next, however fast they come."""
        for host, outcome in events:
            value = json.dumps({"host": host, "outcome": outcome, "line": LINE}).encode()
            await self.front.produce("auth", host.encode(), value, BEGINNING_MS + 1000 * self._produced)
            self._produced += 1
            if seconds_apart:
                await self.clock.sleep(seconds_apart)

    def worker(self, broker: Broker, model: Model | None = None, **options: Any) -> Worker:
        """One process; by default it ends when nothing was left to do for a second."""
        settings = WorkerOptions(**{"owner": f"process-{self._members}", "until_idle": 1.0, **options})
        models = {name: model or ScriptedModel(judge, seconds_per_piece=0.02) for name in self.pipeline.models}
        return Worker(self.pipeline.plan, self.pipeline.layout, broker, models, self.clock, settings, Random(5))

    async def play(self, broker: Broker | None = None, model: Model | None = None, **options: Any) -> Summary:
        """One process from its beginning to its end."""
        broker = broker or self.broker()
        await broker.start()
        summary = await self.worker(broker, model, **options).run()
        await broker.close()
        return summary

    async def records(self, topic: str) -> list[Raw]:
        """What a committed reader finds on a topic, partition by partition."""
        found: list[Raw] = []
        for partition in range(self._partitions):
            found += [raw async for raw in self.front.read(topic, partition, 0)]
        return found

    async def told(self) -> Told:
        results = await self.records(self.pipeline.plan.results.results)
        partials = await self.records(self.pipeline.plan.results.partials)
        return Told([_parsed(raw) for raw in results], [_parsed(raw) for raw in partials])


def _parsed(raw: Raw) -> Mapping[str, Any]:
    parsed: Mapping[str, Any] = json.loads(raw.value or b"")
    return parsed


@dataclass(frozen=True)
class Told:
    """Every record on the results topic and on the partials topic, in order."""

    results: Sequence[Mapping[str, Any]]
    revisions: Sequence[Mapping[str, Any]]

    @property
    def outcomes(self) -> dict[tuple[str, str], Any]:
        """(run, state) → answer: what must be the same whatever went wrong on the way."""
        return {(record["run"], record["state"]): record["answer"] for record in self.results}

    def check(self) -> None:
        """What must hold of the topics of any run of any pipeline."""
        assert len(self.outcomes) == len(self.results), "an outcome was told twice"
        last: dict[str, tuple[int, str]] = {}
        for record in self.revisions:
            rev, state = last.get(record["run"], (0, "partial"))
            assert record["rev"] > rev, f"revisions of {record['run']} do not grow"
            assert state == "partial" or record["state"] == "resolved", f"{record['state']} after {state}"
            last[record["run"]] = (record["rev"], record["state"])
        self._check_order()

    def _check_order(self) -> None:
        """Of one key and agent, outcomes come in the order of the records that fired them."""
        latest: dict[tuple[str, str | None, str], int] = {}
        for record in self.results:
            place, _, offset = record["why"]["fired_by"].rpartition("@")
            if record["state"] == "resolved" or place in ("", "timer"):  # the end of an episode, a chain, time
                continue
            queue = record["key"], record["agent"], place
            assert int(offset) >= latest.get(queue, 0), f"{record['run']} came after the outcome of a later firing"
            latest[queue] = int(offset)

"""What a torture run feeds: the pipeline, the events, and an oracle that says what has to fire.

    definition   n: how many events of this key so far
    twentieth    every 20th event of a key is a result by itself
    hundredth    every 100th asks an agent, whose answer streams for some seconds

The oracle knows nothing of Penstock: it is a counter per key over the records of the source, in their order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from random import Random
from typing import NamedTuple

import orjson

PARTITIONS = 6
SESSION_SECONDS = 6.0
"""Of the workers: the shortest that Kafka's brokers take unless they are told otherwise."""
EVERY: Mapping[str, int] = {"twentieth": 20, "hundredth": 100}
"""Triggers, and which event of a key fires them."""
JUDGED = frozenset({"hundredth"})
"""Triggers with an agent; the firing of any other is the result."""
KEYS_MIN, EVENTS_PER_KEY = 40, 50
SOURCE, AGENT, MODEL = "events", "judge", "fake"
MODEL_OPTIONS = ("--tokens-per-second", "30", "--ttft", "0.2")
"""An answer takes some seconds, so that strikes meet open streams."""

_PIPELINE = """\
penstock: v1
name: torture
namespace: {namespace}
kafka: {{bootstrap: "{bootstrap}", session_timeout: {session:g}s, transaction_timeout: 10s}}
sources:
  events: {{topic: {source}, key: event.key}}
define:
  n: count(true, 24h)
context:
  window: {{last: 1h, events: 50, tokens: 4000}}
triggers:
  twentieth: {{when: n % 20 == 0, cooldown: 0s, agent: none}}
  hundredth: {{when: n % 100 == 0, cooldown: 0s, agent: judge}}
models:
  fake: {{base_url: "{model}", model: any, concurrency: 64, request: {{max_tokens: 400}}}}
agents:
  judge:
    models: [fake]
    ask: "{{{{ key }}}} has told {{{{ values.n }}}} events. Is it well?"
    answer:
      verdict: {{enum: [fine, unclear, broken]}}
      failures: {{type: integer, minimum: 0}}
      why: {{type: string, maxLength: 200}}
      action: {{type: string, maxLength: 200}}
      summary: {{type: string, maxLength: 200}}
    partials: {{every: 200ms}}
    limits: {{time: 60s, tokens: 400}}
"""


def pipeline_text(namespace: str, bootstrap: str, model: str) -> str:
    """The file that the workers run; `model` is the base URL of a model server."""
    return _PIPELINE.format(
        namespace=namespace, bootstrap=bootstrap, session=SESSION_SECONDS, source=f"{namespace}.{SOURCE}", model=model
    )


class Topics(NamedTuple):
    """Those of one namespace that are looked at; each has PARTITIONS partitions."""

    source: str
    log: str
    results: str
    partials: str
    dead: str

    @property
    def outputs(self) -> tuple[str, str, str]:
        return self.results, self.partials, self.dead


def all_topics(namespace: str) -> list[str]:
    """With the one that nobody looks at."""
    return [*topics_of(namespace), f"{namespace}.torture.previews"]


def topics_of(namespace: str) -> Topics:
    prefix = f"{namespace}.torture"
    return Topics(f"{namespace}.{SOURCE}", f"{prefix}.log", f"{prefix}.results", f"{prefix}.partials", f"{prefix}.dead")


class Event(NamedTuple):
    """`number` counts the events of a run of torture from 0, and stands in the value."""

    number: int
    key: bytes
    value: bytes


def events(seed: int, per_cycle: int) -> Iterator[Event]:
    """Without an end; the same for the same arguments."""
    random, number = Random(seed), 0
    keys = max(KEYS_MIN, per_cycle // EVENTS_PER_KEY)
    while True:
        key = f"k{random.randrange(keys):03}"
        level = random.choice(("ok", "ok", "ok", "failed"))
        value = {"key": key, "number": number, "level": level, "load": random.randrange(1000)}
        yield Event(number, key.encode(), orjson.dumps(value))
        number += 1


def number_of(value: bytes | None) -> int:
    """Of an event, by what it says; -1 where it is none of ours."""
    try:
        return int(orjson.loads(value or b"{}")["number"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return -1


class Cause(NamedTuple):
    """What a firing is known by: the trigger, and the record that made it fire as results name it (`source/p@offset`)."""

    trigger: str
    fired_by: str


class Firing(NamedTuple):
    """What has to be told of it."""

    key: str
    nth: int
    judged: bool


class Oracle:
    """Fed with the records of the source, partition by partition in offset order. `source`: its name in the file."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._counts: Counter[str] = Counter()
        self._open: dict[tuple[str, str], Cause] = {}
        self.firings: dict[Cause, Firing] = {}
        self.resolved: set[Cause] = set()
        """Firings after which another event of the key came: what fired does not hold any more."""

    def saw(self, partition: int, offset: int, key: str) -> None:
        self._counts[key] += 1
        nth = self._counts[key]
        for trigger, every in EVERY.items():
            before = self._open.pop((trigger, key), None)
            if before is not None:
                self.resolved.add(before)
            if nth % every == 0:
                cause = Cause(trigger, f"{self._source}/{partition}@{offset}")
                self.firings[cause] = Firing(key, nth, trigger in JUDGED)
                self._open[trigger, key] = cause

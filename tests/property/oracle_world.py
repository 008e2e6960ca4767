"""Any triggers over any records, whatever happens to the process in between: the product against the brute-force evaluator."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from tests.oracle.formula import Compare, Field, Literal, Span
from tests.oracle.oracle import Change, Correction, Firing, Incoming, Outcome, Rule, Settings, Skipped, expect
from tests.oracle.product import PARTITION, TOPIC, Worker, milliseconds, plan_of, results

from penstock.operators.record import Record
from penstock.operators.task import FORGOTTEN

Expect = Callable[[Settings, Sequence[Incoming]], Outcome]
SECOND = 1000
BEGINNINGS = (0, -15 * SECOND, 1_795_166_047 * SECOND)
"""Event time begins around the epoch, before it, or in our days."""

SECONDS = st.sampled_from([1, 2, 3, 5, 9]).map(lambda seconds: seconds * SECOND)
WAITS = st.sampled_from([0, 0, 0, 0, 1, 3, 9]).map(lambda seconds: seconds * SECOND)
COOLDOWNS = st.sampled_from([0, 0, 1, 2, 3, 5, 9]).map(lambda seconds: seconds * SECOND)
V = Field("v")
FAILED = Compare(Field("x"), "==", Literal("a"))
LOUD = Compare(V, ">", Literal(1))

# --- records --------------------------------------------------------------------------------------------------------

DEAD = (b"{", b"[1]", b'{"t": 0}', b'{"key": "k", "t": "soon"}', b'{"key": null, "t": 0}', None)


@dataclass(frozen=True)
class Sample:
    """A record as bytes, and as the oracle is told about it."""

    value: bytes | None
    told: Incoming


@st.composite
def any_samples(draw: st.DrawFn) -> list[Sample]:
    beginning = draw(st.sampled_from(BEGINNINGS))
    scale = draw(st.sampled_from([SECOND, SECOND, SECOND, 500]))
    return [draw(any_sample(beginning, scale, offset)) for offset in range(draw(st.integers(1, 14)))]


@st.composite
def any_sample(draw: st.DrawFn, beginning: int, scale: int, offset: int) -> Sample:
    cause = f"{TOPIC}/{PARTITION}@{offset}"
    if draw(st.integers(0, 15)) == 15:
        return Sample(draw(st.sampled_from(DEAD)), Incoming("", 0, {}, cause, dead=True))
    key, time = draw(st.sampled_from("kkz")), beginning + scale * draw(st.integers(0, 20))
    fields: dict[str, Any] = draw(FIELDS)
    ignored = draw(st.integers(0, 9)) == 9
    value = {"key": key, "t": time} | fields | ({"skip": True} if ignored else {})
    return Sample(json.dumps(value).encode(), Incoming(key, time, fields, cause, ignored=ignored))


@st.composite
def steady_samples(draw: st.DrawFn) -> list[Sample]:
    """Time goes on, mostly, and one in four events says nothing."""
    samples, time = [], 0
    for offset in range(draw(st.integers(3, 14))):
        time += SECOND * draw(st.sampled_from([0, 1, 1, 2, 3, -1]))
        fields = draw(st.sampled_from([{"v": 0}, {"v": 2}, {"v": 2}, {}]))
        told = Incoming(draw(st.sampled_from("kkkz")), time, fields, f"{TOPIC}/{PARTITION}@{offset}")
        samples.append(Sample(json.dumps({"key": told.key, "t": time} | fields).encode(), told))
    return samples


FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "x": st.sampled_from(["a", "a", "a", "b", "c"]),
        "v": st.sampled_from([0, 1, 2, 3, 0.5, 0.1, -1, 1.0, "two"]),
    },
)

MODELS = (
    "models:",
    "  small: {base_url: 'http://127.0.0.1:9/v1', model: tiny}",
    "  embed: {base_url: 'http://127.0.0.1:9/v1', model: bge, kind: embedding}",
)

# --- the file -------------------------------------------------------------------------------------------------------


def file_of(settings: Settings) -> str:
    """What somebody would have written."""
    lines = [
        "penstock: v1",
        "name: oracle",
        "sources:",
        f"  in: {{topic: {TOPIC}, key: event.key, time: {{at: event.t, unit: ms}}, ignore: event.skip == true,",
        *([] if settings.within is None else [f"       dedupe: {{by: event.id, within: {settings.within}ms}},"]),
        f"       watermark: {{delay: {settings.delay}ms, idle: never, lateness: {settings.lateness}ms}}}}",
        *(["tables: {hosts: {topic: rows}}"] if any("tables." in rule.text for rule in settings.rules) else []),
        "define:",
        f"  failed: '{FAILED.text}'",
        f"  loud: '{LOUD.text}'",
        f"  failures: '{Span('count', FAILED, 5 * SECOND).text}'",
        *([] if settings.forget is None else [f"context: {{forget: {settings.forget}ms}}"]),
        *(MODELS if any("semantic:" in rule.text for rule in settings.rules) else []),
        "triggers:",
    ]
    return "\n".join(lines + [f"  {rule.name}: {{{rule.text}, agent: none}}" for rule in settings.rules])


@st.composite
def any_settings(draw: st.DrawFn, any_rules: SearchStrategy[tuple[Rule, ...]]) -> Settings:
    delay = draw(st.sampled_from([0, 1, 2, 5])) * SECOND
    lateness = draw(st.sampled_from([0, 1, 3, 20])) * SECOND
    rules = draw(any_rules)
    longest = max(5 * SECOND, *(rule.lasts for rule in rules))
    remembered = st.sampled_from([0, 1, SECOND, 4 * SECOND]).map(lambda more: longest + more)
    return Settings(delay, lateness, rules, draw(st.booleans()), draw(st.none() | remembered))


# --- what happens to the process ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Deed:
    """A batch of records, then perhaps silence, a commit with or without a snapshot, the end of the process."""

    records: int
    elapsed: int
    silence: bool
    commits: bool
    snapshot: tuple[int, int] | None
    trims: bool
    dies: bool


SNAPSHOTS = st.sampled_from([None, None, (0, 1), (0, 2), (1, 2), (0, 4), (1, 4), (2, 4), (3, 4)])
DEEDS = st.lists(
    st.builds(
        Deed,
        st.integers(0, 5),
        st.integers(0, 100_000),
        st.booleans(),
        st.booleans(),
        SNAPSHOTS,
        st.booleans(),
        st.booleans(),
    ),
    max_size=12,
)


def live(worker: Worker, deeds: Sequence[Deed], *, bounded: bool) -> None:
    """A bounded input that was read to its end may be opened once more: there is nothing left to say."""
    for deed in deeds:
        worker.feed(deed.records, deed.elapsed)
        if deed.silence:
            worker.tick(deed.elapsed)
        if deed.commits:
            worker.commit(deed.snapshot)
        if deed.trims:
            worker.log.trim()
        if deed.dies:
            worker.restart()
    worker.feed(len(worker.records), 0)
    if not bounded:
        worker.commit()
        return
    for _ in range(2):
        worker.end()
        worker.commit()
        worker.restart()


NOTED = ("late_for_trigger", "partials_dropped", "unjudged")
"""Counters of kinds of triggers that the oracle keeps, too."""


def observed(worker: Worker) -> Outcome:
    """What left the product, in the words of the oracle."""
    outcome = Outcome()
    ends: dict[str, tuple[int, bool]] = {}
    told = []
    for result in results(worker.outputs, worker.plan.results.results):
        if result["state"] == "resolved":
            ends[result["run"]] = milliseconds(result["episode"]["ends_at"]), result["reason"] == FORGOTTEN
        else:
            told.append(result)
    headers = {output.id: dict(output.headers) for output in worker.outputs}
    causes = {result["run"]: result["why"]["fired_by"] for result in told}
    for result in told:
        at = milliseconds(headers[f"{result['run']}/{result['rev']}"]["ce_time"].decode())
        firing = _firing(result, at, *ends.pop(result["run"], (None, False)))
        if result["corrects"] is not None:
            corrected, withdrawn = causes[result["corrects"]], result["why"]["withdrawn"]
            outcome.corrections.append(Correction(firing, corrected, withdrawn))
        elif result["state"] == "skipped":
            outcome.skipped.append(Skipped(firing, result["reason"], tuple(result["why"]["inhibited_by"] or ())))
        else:
            outcome.firings.append(firing)
    assert not ends, "something ended that never began"
    counters = worker.counters
    outcome.suppressed = {planned.name: counters["suppressed", planned.name] for planned in worker.plan.triggers}
    outcome.sampled_out = {name[1]: count for name, count in counters.items() if name[0] == "sampled_out"}
    outcome.noted = Counter({name: count for name, count in counters.items() if name[0] in NOTED})
    outcome.late, outcome.ignored = counters["late", "in"], counters["ignored", "in"]
    outcome.duplicates = counters["duplicate", "in"]
    outcome.dead = sum(count for (what, *_), count in counters.items() if what == "dead")
    return outcome


def _firing(result: dict[str, Any], at: int, ends_at: int | None, forgotten: bool) -> Firing:
    [trigger], why = result["triggers"], result["why"]
    values = tuple(sorted(why["values"].items()))
    told = json.loads(result["annotations"].get("told", "null"))
    part = _part(result)
    return Firing(trigger, result["key"], at, why["fired_by"], values, result["end"], ends_at, forgotten, told, part)


def _part(result: dict[str, Any]) -> str:
    return json.dumps(result["by"], sort_keys=True) if result["why"]["by"] is not None else ""


def by_key(outcome: Outcome) -> Outcome:
    """Order across triggers, keys and their parts is not promised; within one of each it is."""
    outcome.firings.sort(key=lambda firing: (firing.trigger, firing.key, firing.part))
    for told in (outcome.skipped, outcome.corrections):
        told.sort(key=lambda each: (each.edge.trigger, each.edge.key, each.edge.part))
    return outcome


# --- agreement -------------------------------------------------------------------------------------------------------


def records_of(samples: Sequence[Sample]) -> Iterator[Record]:
    """Offsets count by topic."""
    offsets = Counter[str]()
    for sample in samples:
        topic, key = (TOPIC, None) if sample.told.row is None else ("rows", sample.told.key.encode())
        yield Record(topic, PARTITION, offsets[topic], sample.told.time, key, sample.value)
        offsets[topic] += 1


@st.composite
def with_rows(draw: st.DrawFn, any_events: SearchStrategy[list[Sample]]) -> list[Sample]:
    """Rows of hosts come, come again and go among the events."""
    samples = draw(any_events)
    first = min((sample.told.time for sample in samples if not sample.told.dead), default=0)
    for _ in range(draw(st.integers(1, 6))):
        change: Change = draw(st.sampled_from(["there", "there", "gone"]))
        told = Incoming(draw(st.sampled_from("kzy")), first + SECOND * draw(st.integers(-5, 25)), {}, "", row=change)
        value = b'{"class": "public"}' if change == "there" else None
        samples.insert(draw(st.integers(0, len(samples))), Sample(value, told))
    return samples


def agree(settings: Settings, samples: list[Sample], deeds: list[Deed], expected: Expect = expect) -> None:
    text = file_of(settings)
    note(text)
    note("\n".join(f"{number}: {sample.value!r}" for number, sample in enumerate(samples)))
    records = list(records_of(samples))
    worker = Worker(plan_of(text), records)

    live(worker, deeds, bounded=settings.bounded)

    assert by_key(observed(worker)) == by_key(expected(settings, [sample.told for sample in samples]))
    dead_topic = worker.plan.dead_topic
    dead = [output.value for output in worker.outputs if output.topic == dead_topic]
    assert dead == [sample.value for sample in samples if sample.told.dead]

"""What somebody finds who reads `latest` from its beginning is what the results say is the case, whatever happens to the process.

results   final(a) ─ final(b) ─ resolved(a) ──────────────▶ recomputed: the newest of each case, unless it ended `keep` ago
latest    final(a) ─ final(b) ─ resolved(a) ─ a tombstone ▶ folded: the last record of each key, unless it is a tombstone
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from hypothesis import event, given
from hypothesis import strategies as st
from tests.oracle.deployment import Deployment, records_of
from tests.oracle.product import Worker, milliseconds, plan_of, results

from penstock.operators.event import Ask
from penstock.operators.plan import Plan
from penstock.operators.record import Output, Record

HEAD = """
penstock: v1
name: now
sources:
  in: {topic: in, key: event.key, time: {at: event.t, unit: s}, watermark: {delay: 2s, idle: never, lateness: 9s}}
triggers:
  each: {each: event.x == "a", cooldown: 1s, agent: AGENT}
  open: {when: 'count(event.x == "a", 7s) >= 2', until: event.x == "z", cooldown: 1s, agent: AGENT}
  quiet: {when: 'count(event.x == "b", 5s) >= 1', cooldown: 0s, agent: none}
  every: {every: 10s, agent: none}
"""
MODEL = """
models:
  small: {base_url: "http://127.0.0.1:9/v1", model: tiny}
agents:
  judge: {ask: What now?, answer: {of: {type: string}}}
"""
KEEPS = (0, 3, 20)
PLANS = {
    keep: plan_of(HEAD.replace("AGENT", "none") + f"outputs: {{latest: {{topic: open, keep: {keep}s}}}}\n")
    for keep in KEEPS
}
THINKING = plan_of(HEAD.replace("AGENT", "judge") + MODEL + "context: {forget: 11s}\noutputs: {latest: open}\n")


class Case(NamedTuple):
    """One record, as both sides see it."""

    run: str
    rev: int
    state: str


def folded(outputs: list[Output]) -> set[Case]:
    """As a reader does who knows nothing of the pipeline."""
    last = {output.key: output.value for output in outputs if output.topic == "open"}
    values = (json.loads(value) for value in last.values() if value is not None)
    return {Case(value["run"], value["rev"], value["state"]) for value in values}


def recomputed(outputs: list[Output], plan: Plan, watermark: int) -> set[Case]:
    """From the results alone: the newest record of each trigger and key, if it is the case still."""
    assert plan.latest is not None
    newest: dict[tuple[str, str], tuple[int, dict[str, Any]]] = {}
    for output in outputs:
        if output.topic == plan.results.results:
            value, fired = json.loads(output.value or b""), dict(output.headers)["ce_time"].decode()
            place, at = (value["triggers"][0], value["key"]), milliseconds(fired)
            if place not in newest or newest[place][0] <= at:
                newest[place] = at, value
    found = set()
    for at, value in newest.values():
        ended = _ended(value, at)
        if ended is None or (plan.latest.keep and ended + plan.latest.keep >= watermark):
            found.add(Case(value["run"], value["rev"], value["state"]))
    return found


def _ended(value: dict[str, Any], at: int) -> int | None:
    if value["episode"] is None:
        return at
    return None if value["episode"]["ends_at"] is None else milliseconds(value["episode"]["ends_at"])


# --- rules alone: the very same records, whatever happens ------------------------------------------------------------


class Deed(NamedTuple):
    """A batch of records, then perhaps a commit, with a snapshot, and the end of the process."""

    records: int
    commits: bool
    snapshot: tuple[int, int] | None
    trims: bool
    dies: bool


events = st.lists(
    st.tuples(st.sampled_from("kkl"), st.sampled_from([-4, 0, 1, 1, 2, 5, 9, 30]), st.sampled_from("aaabbcz")),
    min_size=4,
    max_size=30,
)
deeds = st.lists(
    st.builds(
        Deed,
        st.integers(0, 6),
        st.booleans(),
        st.sampled_from([None, None, (0, 1), (0, 2), (1, 2)]),
        st.booleans(),
        st.booleans(),
    ),
    max_size=12,
)


def live(plan: Plan, records: list[Record], deeds: list[Deed]) -> list[Output]:
    """After every commit the topic says what the results say."""
    worker = Worker(plan, records)
    for deed in deeds:
        worker.feed(deed.records, 1000)
        if deed.commits:
            worker.commit(deed.snapshot)
            _check(worker)
        if deed.trims:
            worker.log.trim()
        if deed.dies:
            worker.restart()
            _check(worker)
    worker.feed(len(records), 1000)
    worker.commit()
    _check(worker)
    worker.end()
    worker.commit()
    return worker.outputs


def _check(worker: Worker) -> None:
    if worker.watermark is not None:
        assert folded(worker.outputs) == recomputed(worker.outputs, worker.plan, worker.watermark)


@given(events, deeds, st.sampled_from(KEEPS))
def test_the_topic_says_what_is_the_case_and_says_it_in_the_same_words(
    steps: list[tuple[str, int, str]], deeds: list[Deed], keep: int
) -> None:
    records, plan = records_of(steps), PLANS[keep]
    outputs = live(plan, records, deeds)
    undisturbed = live(plan, records, [])
    assert [each for each in outputs if each.topic == "open"] == [each for each in undisturbed if each.topic == "open"]
    assert results(outputs, plan.results.results)
    tombstones = sum(each.topic == "open" and each.value is None for each in outputs)
    event(f"keep {keep}: {min(tombstones, 3)} tombstones, {min(len(folded(outputs)), 2)} left")


# --- with a slow model, and keys that are forgotten ------------------------------------------------------------------


class Thinking(Deployment):
    def _said(self, ask: Ask) -> dict[str, Any]:
        return {"of": ask.run}

    @property
    def outputs(self) -> list[Output]:
        return self._outputs


@given(events, st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2), st.integers(0, 2), st.booleans()), max_size=12))
def test_neither_a_slow_model_nor_forgetting_leaves_anything_that_is_not_the_case(
    steps: list[tuple[str, int, str]], deeds: list[tuple[int, int, int, bool]]
) -> None:
    deployment = Thinking(records_of(steps))
    deployment.open(THINKING)
    for records, answers, images, dies in deeds:
        deployment.feed(records)
        deployment.answer(answers)
        deployment.commit(images)
        if dies:
            deployment.open(THINKING)
        assert folded(deployment.outputs) == recomputed(deployment.outputs, THINKING, 0)
    deployment.finish()
    assert folded(deployment.outputs) == set()

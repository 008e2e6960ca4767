"""What stands between an answer and what follows it, worked out from the records that left before it.

judged    F ─▶ answer ─▶ ticket ─▶ answer ─▶ page       every answer comes before the next record: limits count by who comes first
open    F───────R          │ inhibited: it was open at the time of `judged`
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from hashlib import blake2b
from typing import Any

from hypothesis import event, given
from hypothesis import strategies as st
from tests.oracle.deployment import LARGE, Deed, Deployment, any_deeds, records_of
from tests.oracle.product import PARTITION, milliseconds, plan_of

from penstock.operators.event import Ask
from penstock.operators.plan import Plan
from penstock.operators.record import Record
from penstock.operators.run import RunCause, run_id

PLAN = plan_of("""
penstock: v1
name: gated
sources:
  in: {topic: in, key: event.key, time: {at: event.t, unit: s}, watermark: {delay: 1s, idle: never, lateness: 4s}}
triggers:
  judged: {each: event.x == "a", agent: judge}
  open: {when: 'count(event.x == "b", 2s) >= 1', cooldown: 0s, agent: none}
  silent: {absence: event.x == "a", for: 4s, agent: none}
  ticket: {after: judge, where: answer.grade == "high", inhibited_by: [open], limit: 2/9s, agent: write}
  second: {after: judge, inhibited_by: [silent, ticket], sample: 50%, agent: none}
  page: {after: write, inhibited_by: [second, open], limit: 3/hour, sample: 70%, agent: none}
models:
  small: {base_url: "http://127.0.0.1:9/v1", model: tiny}
agents:
  judge: {ask: "What now?", answer: {of: {type: string}, grade: {enum: [high, low]}}}
  write: {ask: "Then {{ answer.grade }}?", answer: {of: {type: string}}}
""")
GATES: dict[str, tuple[str, tuple[str, ...], int]] = {
    "ticket": ("judge", ("open",), 100),
    "second": ("judge", ("silent", "ticket"), 50),
    "page": ("write", ("second", "open"), 70),
}
"""Of each trigger that follows: whom, who keeps it quiet, how many percent of its firings begin runs."""
LASTING = ("open", "silent")


class Prompt(Deployment):
    """Every answer comes before the next record is fed."""

    def _said(self, ask: Ask) -> dict[str, Any]:
        said = "\n".join(message.content for message in ask.request.messages)
        digest = blake2b(said.encode(), digest_size=4).hexdigest()
        grade = {"grade": "low" if int(digest, 16) % 3 == 0 else "high"} if "What now?" in said else {}
        return {"of": digest, **grade}

    def open(self, plan: Plan) -> None:
        super().open(plan)
        self._answer_all()

    def feed(self, count: int) -> None:
        for _ in range(min(count, len(self._records) - self._at)):
            super().feed(1)
            self._answer_all()


@dataclass
class Chained:
    """What leaves because of answers, by the records that left before: (trigger, the record it follows, reason or none)."""

    records: list[Record]
    told: list[tuple[str, str, str | None]] = field(default_factory=list)
    spans: list[tuple[str, str, str, int, int | None]] = field(default_factory=list)
    """Of triggers that keep others quiet: (name, key, run, since, until)."""
    counted: list[tuple[str, int]] = field(default_factory=list)
    began: dict[str, int] = field(default_factory=dict)
    """By run the time with which its chain began."""

    def take(self, result: dict[str, Any]) -> None:
        [trigger], run = result["triggers"], result["run"]
        if trigger in LASTING:
            self._take_episode(trigger, run, result)
        elif result["state"] == "final":
            if trigger == "judged":
                self.began[run] = self.records[int(result["why"]["fired_by"].rpartition("@")[2])].timestamp
            for name, (agent, inhibitors, percent) in GATES.items():
                if result["agent"] == agent and (name != "ticket" or result["answer"]["grade"] == "high"):
                    self._follow(name, inhibitors, percent, result)

    def _take_episode(self, trigger: str, run: str, result: dict[str, Any]) -> None:
        since = milliseconds(result["episode"]["starts_at"])
        self.spans = [each for each in self.spans if each[2] != run]
        until = None if result["state"] != "resolved" else milliseconds(result["episode"]["ends_at"])
        self.spans.append((trigger, result["key"], run, since, until))

    def _follow(self, name: str, inhibitors: tuple[str, ...], percent: int, result: dict[str, Any]) -> None:
        run, key = result["run"], result["key"]
        at, own = self.began[run], run_id(PARTITION, PLAN.name, name, key, RunCause(run))
        quiet = [
            inhibitor
            for inhibitor in inhibitors
            if any(
                each[:2] == (inhibitor, key) and each[3] <= at and (each[4] is None or at < each[4])
                for each in self.spans
            )
        ]
        cause = f"{run}/{result['rev']}"
        if quiet:
            self.told.append((name, cause, f"inhibited by {quiet}"))
        elif self._is_one_too_many(name, at):
            self.told.append((name, cause, "limit"))
        else:
            self.counted.append((name, at))
            self.spans.append((name, key, own, at, at + 1))
            self.began[own] = at
            if Fraction(int(blake2b(own.encode(), digest_size=8).hexdigest(), 16), 2**64) < Fraction(percent, 100):
                self.told.append((name, cause, None))

    def _is_one_too_many(self, name: str, at: int) -> bool:
        times = [time for other, time in self.counted if other == name]
        if name == "ticket":
            return sum(at - 9_000 < time <= at for time in times) >= 2
        return name == "page" and sum(_hour(time) == _hour(at) for time in times) >= 3


def _hour(at: int) -> int:
    return at // 3_600_000


def told(result: dict[str, Any]) -> tuple[str, str, str | None]:
    [trigger], reason = result["triggers"], result["reason"]
    by = result["why"]["inhibited_by"]
    return trigger, result["why"]["fired_by"], f"inhibited by {by}" if by else reason


events = st.lists(
    st.tuples(st.sampled_from("kkkl"), st.sampled_from([-2, 0, 1, 1, 2, 4, 7]), st.sampled_from("aaabc")),
    min_size=4,
    max_size=25,
)


@given(events, any_deeds(answers_max=LARGE))
def test_they_agree_on_what_follows_behind_gates(steps: list[tuple[str, int, str]], deeds: list[Deed]) -> None:
    records = records_of(steps)
    deployment = Prompt(records)
    deployment.play(PLAN, deeds)
    expected = Chained(records)
    for result in deployment.results:
        expected.take(result)
    found = [told(each) for each in deployment.results if each["triggers"][0] in GATES]
    assert sorted(map(str, found)) == sorted(map(str, expected.told))
    for name, _, reason in found:
        event(f"{name} {'fires' if reason is None else reason}")

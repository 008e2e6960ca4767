"""Chains: what follows an answer is the same however slow the models are, whenever it is committed and restarted.

judge     a ──▶ high ─▶ write ──▶ text            page: no model        everything that was answered, once
             └▶ low                └─▶ page
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

from hypothesis import event, given
from hypothesis import strategies as st
from tests.oracle.deployment import AT_ONCE, Deed, Deployment, any_deeds, records_of
from tests.oracle.product import plan_of

from penstock.operators.event import Ask
from penstock.operators.record import Record

PLAN = plan_of("""
penstock: v1
name: chained
sources:
  in: {topic: in, key: event.key, time: {at: event.t, unit: s}, watermark: {delay: 1s, idle: never, lateness: 4s}}
context: {forget: 10s, window: {last: 1h, events: 3}}
define: {recent: 'count(event.x == "a", 7s)', all: 'count(true, 7s)'}
triggers:
  each: {each: event.x == "a", agent: judge}
  open: {when: recent >= 2, cooldown: 2s, by: event.x, agent: judge}
  ticket: {after: judge, where: answer.grade == "high", agent: write}
  second: {after: judge, where: 'answer.grade == "low" && values.recent >= 1', agent: write}
  page: {after: write, where: '!answer.of.startsWith("0")', agent: none}
models:
  small: {base_url: "http://127.0.0.1:9/v1", model: tiny}
agents:
  judge: {ask: "What now?", answer: {of: {type: string}, grade: {enum: [high, low]}}}
  write: {ask: "Then {{ answer.grade }}, {{ values.all }}?", answer: {of: {type: string}}}
""")


class Chained(Deployment):
    def _said(self, ask: Ask) -> dict[str, Any]:
        """What the prompt comes to: two prompts have the same answer only if they are the same."""
        said = "\n".join(message.content for message in ask.request.messages)
        digest = blake2b(said.encode(), digest_size=4).hexdigest()
        grade = {"grade": "high" if int(digest, 16) % 2 else "low"} if "What now?" in said else {}
        return {"of": digest, **grade}

    @property
    def told(self) -> dict[tuple[str, str], Any]:
        return {(each["run"], each["state"]): _without_calls(each) for each in self.results}


def _without_calls(result: dict[str, Any]) -> dict[str, Any]:
    """How often it was asked depends on the crashes."""
    return {**result, "why": {**result["why"], "route": None}, "usage": None, "attempt": None}


def played(records: list[Record], deeds: list[Deed]) -> Chained:
    deployment = Chained(records)
    deployment.play(PLAN, deeds)
    return deployment


def followers(result: dict[str, Any]) -> Iterator[str]:
    """The triggers that fire for a result, worked out from what the file says of them."""
    if result["state"] != "final" or result["agent"] is None:
        return
    answer, values = result["answer"], result["why"]["values"]
    if result["agent"] == "judge" and answer["grade"] == "high":
        yield "ticket"
    if result["agent"] == "judge" and answer["grade"] == "low" and values["recent"] >= 1:
        yield "second"
    if result["agent"] == "write" and not answer["of"].startswith("0"):
        yield "page"


def shared(result: dict[str, Any]) -> Any:
    """What a run has from the one that it follows."""
    why = result["why"]
    return result["key"], result["by"], result["end"], [why[part] for part in ("by", "values", "events", "from", "to")]


events = st.lists(
    st.tuples(st.sampled_from("kkkl"), st.sampled_from([-3, 0, 1, 1, 2, 5, 12, 30]), st.sampled_from("aaab")),
    min_size=4,
    max_size=25,
)


@given(events, any_deeds(answers_max=3))
def test_neither_the_model_nor_commits_nor_restarts_change_what_follows(
    steps: list[tuple[str, int, str]], deeds: list[Deed]
) -> None:
    records = records_of(steps)
    deployment, undisturbed = played(records, deeds), played(records, [AT_ONCE] * len(records))
    assert deployment.told == undisturbed.told
    results = [result for result in deployment.results if result["state"] != "resolved"]
    by_id = {f"{result['run']}/{result['rev']}": result for result in results}
    expected = Counter((name, at) for at, result in by_id.items() for name in followers(result))
    chained = [result for result in results if result["why"]["fired_by"] in by_id]
    assert Counter((result["triggers"][0], result["why"]["fired_by"]) for result in chained) == expected
    assert all(shared(result) == shared(by_id[result["why"]["fired_by"]]) for result in chained)
    assert {"ticket", "second", "page"}.isdisjoint(result["triggers"][0] for result in results if result not in chained)
    event(f"{min(len(chained), 20) // 5 * 5} or more that follow")

"""However often the file changes and back: new runs go by the present one, old runs finish on theirs, and what did not change
goes on as if nothing had been.

    A A A │ B B │ A │ C C C │ A        parts of one stream; at each bar the task is opened by another definition,
                                       from what was committed, which may be less than what was fed
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.oracle.deployment import Deployment, records_of
from tests.oracle.product import plan_of

from penstock.operators.event import Ask
from penstock.operators.plan import Plan
from penstock.operators.record import Record
from penstock.operators.task import Cut
from penstock.state.delta import EntryKind

TEXT = """
penstock: v1
name: changing
version: {letter}
sources:
  in: {{topic: in, key: event.key, time: {{at: event.t, unit: s}}, watermark: {{delay: 1s, idle: never}}}}
{context}define:
  seen: count(event.x == "{own}", 9s)
triggers:
  each: {{each: event.x == "a", cooldown: 3s, agent: judge}}
  when: {{when: 'count(event.x == "a", 7s) >= 3', cooldown: 2s, agent: judge}}
  still: {{when: 'count(true, 4s) < 1 && event.x == "b"', cooldown: 0s, agent: none}}
  every: {{every: 10s, agent: none}}
  own_{letter}: {{when: seen >= 2, cooldown: 0s, agent: none}}
models:
  small: {{base_url: "http://127.0.0.1:9/v1", model: tiny}}
agents:
  judge: {{system: You are judge {letter}., ask: What now?, answer: {{by_{letter}: {{type: boolean}}}}}}
"""
"""Everything but `own_*` means the same in all of them; the agent does not."""
OWN = {"A": "a", "B": "b", "C": "a"}
LETTERS = tuple(OWN)
SPAN, DELAY = 9, 1
FORGETS = "context: {forget: 10s}\n"


@cache
def plan(letter: str, context: str = "") -> Plan:
    return plan_of(TEXT.format(letter=letter, own=OWN[letter], context=context))


DIGESTS = {plan(letter, context).digest: letter for letter in LETTERS for context in ("", FORGETS)}


@dataclass(frozen=True)
class Part:
    """So many records in batches, with so many answers; then the task is opened by `letter`.

    `lost`: the process dies before the last commit. `images`: into how many buckets the keys are cut and written.
    """

    batches: tuple[int, ...]
    answers: int
    letter: str
    lost: bool
    images: int


class Changing(Deployment):
    """Over as many definitions, too."""

    def __init__(self, letter: str, records: list[Record], context: str) -> None:
        super().__init__(records)
        self._context = context
        self.began_under: dict[str, str] = {}
        self.fed_under: list[str] = []
        self.fed_before: dict[str, int] = {}
        self.change_to(letter)

    def change_to(self, letter: str) -> None:
        self.open(plan(letter, self._context))

    def _said(self, ask: Ask) -> dict[str, Any]:
        """By whoever the prompt says that it asks."""
        judge = ask.request.messages[0].content.partition("You are judge ")[2][0]
        return {f"by_{judge}": True}

    def finish(self) -> None:
        super().finish()
        assert self.task.open_runs == 0

    def commit(self, images: int = 0, kind: EntryKind = "delta") -> Cut:
        cut = super().commit(images, kind)
        self.fed_under += DIGESTS[self._plan.digest] * (self._at - len(self.fed_under))
        for run in cut.delta.runs:
            self.began_under.setdefault(run, DIGESTS[cut.delta.header.definition])
            self.fed_before.setdefault(run, self._at)
        return cut


events = st.lists(
    st.tuples(st.sampled_from("kkkz"), st.sampled_from([-1, 0, 1, 2, 3, 3, 15]), st.sampled_from("aab")),
    min_size=8,
    max_size=40,
)
parts = st.lists(
    st.builds(
        Part,
        batches=st.lists(st.integers(1, 4), max_size=2).map(tuple),
        answers=st.integers(0, 2),
        letter=st.sampled_from("AABBC"),
        lost=st.sampled_from([False, False, False, True]),
        images=st.sampled_from([0, 0, 1, 2]),
    ),
    min_size=2,
    max_size=7,
)


contexts = st.sampled_from(["", FORGETS])


def played(first: str, records: list[Record], changes: list[Part], context: str) -> Changing:
    deployment = Changing(first, records, context)
    for part in changes:
        for count in part.batches:
            deployment.feed(count)
            deployment.answer(part.answers)
        if not part.lost:
            deployment.commit(part.images)
        deployment.change_to(part.letter)
    deployment.finish()
    return deployment


def unchanged(results: list[dict[str, Any]]) -> set[tuple[Any, ...]]:
    """What was said by triggers that mean the same in all definitions, but for what the agent said."""
    return {
        (each["run"], each["state"], each["why"]["fired_by"], each["episode"] and each["episode"]["ends_at"])
        for each in results
        if not each["triggers"][0].startswith("own_")
    }


@given(events, parts, st.sampled_from(LETTERS), contexts)
def test_runs_keep_the_definition_that_they_began_under_and_unchanged_triggers_notice_nothing(
    steps: list[tuple[str, int, str]], changes: list[Part], first: str, context: str
) -> None:
    records = records_of(steps)
    deployment = played(first, records, changes, context)
    for result in deployment.results:
        letter = deployment.began_under[result["run"]]
        assert (result["version"], DIGESTS[result["definition"]]) == (letter, letter)
        assert result["state"] in ("final", "resolved")
        assert result["answer"] is None if result["agent"] is None else result["answer"] == {f"by_{letter}": True}
        own = result["triggers"][0].removeprefix("own_")
        assert own not in LETTERS or own == letter, "a trigger fired that the file does not have"
    assert unchanged(deployment.results) == unchanged(played(first, records, [], context).results)


@given(events, parts, st.sampled_from(LETTERS), contexts)
def test_a_count_knows_all_events_since_the_last_one_that_it_missed_and_none_before(
    steps: list[tuple[str, int, str]], changes: list[Part], first: str, context: str
) -> None:
    """`seen` of A and of C is one aggregate, which goes on between them; B does not know it."""
    records = records_of(steps)
    deployment = played(first, records, changes, context)
    events = [json.loads(record.value or b"") for record in records]
    for result in deployment.results:
        letter = result["triggers"][0].removeprefix("own_")
        if letter in LETTERS and result["state"] == "final":
            fed, now = instant(deployment, events, result)
            mine = [offset for offset in range(fed) if events[offset]["key"] == result["key"]]
            missed = [offset for offset in mine if OWN[deployment.fed_under[offset]] != OWN[letter]]
            counted = [
                offset
                for offset in mine
                if offset > max(missed, default=-1)
                and events[offset]["x"] == OWN[letter]
                and events[offset]["t"] > now - SPAN
            ]
            assert result["why"]["values"]["seen"] == len(counted) >= 2


def instant(deployment: Changing, events: list[dict[str, Any]], result: dict[str, Any]) -> tuple[int, int]:
    """How many records were fed when it fired, and N of its key then. By time alone it fires when its task is opened."""
    kind, _, place = result["why"]["fired_by"].partition("@")
    if kind == "timer":
        return deployment.fed_before[result["run"]], int(place) // 1000
    fed = events[: int(place) + 1]
    own = max(event["t"] for event in fed if event["key"] == result["key"])
    return len(fed), max(own, max(event["t"] for event in fed) - DELAY)

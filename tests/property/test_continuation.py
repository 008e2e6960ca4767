"""However an answer is cut, committed, snapshotted and lost on its way: in the end it reads as if nothing had happened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import orjson
from hypothesis import example, given
from hypothesis import strategies as st
from tests.oracle.stand import Stand

from penstock.operators.event import Answered, Ask, Effect, Streamed, Usage
from penstock.pipelines.torture_story import Story

SPEAKER = """
penstock: v1
name: speaker
sources:
  auth: {topic: auth, key: event.host, time: {at: event.t, unit: s}, watermark: {delay: 0s, idle: never}}
triggers:
  failed: {each: "true", agent: speaker}
models:
  small: {base_url: "http://127.0.0.1:9/v1", model: tiny}
agents:
  speaker:
    ask: What happened?
    partials: {every: 1s}
"""
Step = Literal["commit", "snapshot", "trim", "die", "die for good", "break"] | int
"""An int: so many characters more of the answer are heard. `die for good`: where the next one is, no server continues a text.
`break`: the stream breaks, and the same call tries again."""
STEPS: list[Step] = ["commit", "snapshot", "trim", "die", "die for good"]

texts = st.text(alphabet="ab \n", min_size=1, max_size=40).filter(lambda text: bool(text.strip()))


def lives(*more: Step) -> st.SearchStrategy[list[Step]]:
    return st.lists(st.one_of(st.integers(1, 12), st.sampled_from([*STEPS, *more])), max_size=40)


class Life:
    """One run, asked of a model whose answer is `text`, and everything that was committed of it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.stand = Stand(SPEAKER)
        self.ask = self._asked(self.stand.feed(self.stand.event(1)))
        self.heard = 0
        self.records: list[dict[str, Any]] = []
        self.attempts = 1
        self.commit()

    def _asked(self, effects: Sequence[Effect]) -> Ask:
        [ask] = [effect for effect in effects if isinstance(effect, Ask)]
        assert self.text.startswith(ask.request.continued), "it goes on behind what it never said"
        return ask

    def live(self, step: Step) -> None:
        match step:
            case int():
                self.hear(step)
            case "commit":
                self.commit()
            case "snapshot":
                self.commit()
                self.stand.snapshot(0, 1)
            case "trim":
                self.commit()
                self.stand.snapshot(0, 1)
                self.stand.trim()
            case "die" | "die for good":
                self.die(continues=step == "die")
            case "break":
                self.heard = len(self.ask.request.continued)

    def hear(self, more: int) -> None:
        self.heard = min(self.heard + more, len(self.text))
        self.stand.task.feed(Streamed(self.ask.call_id, self.text[: self.heard]))

    def commit(self) -> None:
        outputs = self.stand.cut().outputs
        partials = [output for output in outputs if output.topic == self.stand.plan.results.partials]
        self.records += [orjson.loads(output.value or b"") for output in partials]

    def die(self, *, continues: bool) -> None:
        """What was not committed is gone, and so is the stream."""
        self.ask = self._asked(self.stand.reopen(continues=lambda *about: continues))
        self.attempts += not self.ask.request.continued
        self.heard = len(self.ask.request.continued)
        self.commit()

    @property
    def shown(self) -> str:
        """What a reader sees of the attempt under way."""
        last = self.records[-1] if self.records else {"attempt": 0}
        return str(last["text"]) if last["attempt"] == self.attempts else ""

    def end(self) -> dict[str, Any]:
        self.stand.task.feed(Answered(self.ask.call_id, self.text, "stop", Usage(10, 0, 1)))
        self.commit()
        return self.records[-1]

    def check(self) -> None:
        """What a reader of the topic may rely on."""
        story = Story()
        assert [problem for record in self.records for problem in story.told(record)] == []


@given(texts, lives())
@example("aabbab", [3, "commit", "die for good", 4, "commit", "die"])
def test_what_was_shown_goes_on_in_one_attempt_to_the_undisturbed_end(text: str, steps: list[Step]) -> None:
    life = Life(text)
    for step in steps:
        shown = life.shown
        life.live(step)
        if step == "die":
            assert life.ask.request.continued == shown.rstrip()
    final = life.end()
    life.check()
    assert (final["state"], final["text"], final["attempt"]) == ("final", text, life.attempts)


@given(texts, lives("break"))
def test_a_stream_that_also_breaks_within_its_call_comes_to_the_same_end(text: str, steps: list[Step]) -> None:
    life = Life(text)
    for step in steps:
        life.live(step)
    assert life.end()["text"] == text
    life.check()

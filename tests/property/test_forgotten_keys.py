"""Keys that are forgotten: however slow the model is, whenever it is committed and restarted, the same is told and remembered.

e1 e2 ──── forget ────▶│ e3          first life │ second life
   └ asked ─ ─ ─ ─ ─ ─ ─ ─ ─▶ answer            the prompt of the first life is that of the first life
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.oracle.deployment import AT_ONCE, Deed, Deployment, any_deeds, records_of
from tests.oracle.product import plan_of

from penstock.operators.event import Ask, Message
from penstock.operators.record import Record

PLAN = plan_of("""
penstock: v1
name: forgetful
sources:
  in: {topic: in, key: event.key, time: {at: event.t, unit: s}, watermark: {delay: 1s, idle: never, lateness: 4s}}
context: {forget: 10s, summary: rule, window: {last: 1h, events: 4}}
triggers:
  each: {each: event.x == "a", cooldown: 3s, agent: judge}
  open: {when: 'count(event.x == "a", 7s) >= 2', until: event.x == "z", cooldown: 2s, agent: judge}
  still: {when: 'count(true, 4s) < 1 && event.x == "b"', cooldown: 0s, agent: none}
  every: {every: 10s, agent: none}
models:
  small: {base_url: "http://127.0.0.1:9/v1", model: tiny}
agents:
  judge: {ask: What now?, answer: {of: {type: string}}}
""")
"""`open` stays so until `z` comes, or until its key is forgotten."""


class Forgetful(Deployment):
    def _said(self, ask: Ask) -> dict[str, Any]:
        """What the prompt comes to: two prompts have the same answer only if they are the same."""
        said = "\n".join(message.content for message in ask.request.messages)
        return {"of": blake2b(said.encode(), digest_size=4).hexdigest()}

    def _die(self, *, committed: bool) -> None:
        before = self.remembered
        super()._die(committed=committed)
        assert not committed or self.remembered == before

    def _end(self) -> None:
        """Who is asked about at the very end stays: no time comes after it in which to go."""
        super()._end()
        assert self.task.keys <= len(self._asks)

    @property
    def remembered(self) -> tuple[set[str], dict[str, tuple[Message, ...]]]:
        """Its keys, and what is being asked."""
        keys = set(self.task.image(0, 1, self._seq).keys)
        return keys, {run: ask.request.messages for run, ask in self._asks.items()}

    @property
    def told(self) -> dict[tuple[str, str], Any]:
        return {(each["run"], each["state"]): _without_calls(each) for each in self.results}


def _without_calls(result: dict[str, Any]) -> dict[str, Any]:
    """How often it was asked depends on the crashes."""
    route = {**result["why"], "route": None}
    return {**result, "why": route, "usage": None, "rev": None, "attempt": None}


def played(records: list[Record], deeds: list[Deed]) -> Forgetful:
    deployment = Forgetful(records)
    deployment.play(PLAN, deeds)
    return deployment


events = st.lists(
    st.tuples(st.sampled_from("kkklm"), st.sampled_from([-3, 0, 1, 1, 2, 5, 9, 12, 30]), st.sampled_from("aaabcz")),
    min_size=4,
    max_size=30,
)


@given(events, any_deeds(answers_max=2))
def test_neither_the_model_nor_commits_nor_restarts_change_what_is_forgotten(
    steps: list[tuple[str, int, str]], deeds: list[Deed]
) -> None:
    records = records_of(steps)
    deployment, undisturbed = played(records, deeds), played(records, [AT_ONCE] * len(records))
    assert deployment.told == undisturbed.told
    assert deployment.remembered == undisturbed.remembered

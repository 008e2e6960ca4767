"""What prompts show, with `show_every`, `hide` and `session`: the product against the list of records, gone through again.

Whatever the batches, the commits, the snapshots and the restarts between two records were.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from hypothesis import event, given
from hypothesis import strategies as st
from tests.oracle.product import PARTITION, TOPIC, Worker, plan_of
from tests.property.oracle_world import BEGINNINGS, DEEDS, SECOND, Deed, live

from penstock.operators.record import Record

FILE = """
penstock: v1
name: shown
sources:
  in: {{topic: in, key: event.key, time: {{at: event.t, unit: ms}}, ignore: event.skip == true, hide: event.noise == 1,
       show: [n], {pace}watermark: {{delay: {delay}ms, idle: never, lateness: {lateness}ms}}}}
context: {{window: {{{session}events: 1000, tokens: 100000}}, summary: rule}}
triggers:
  never: {{each: event.v == 1, agent: none}}
"""


class Told(NamedTuple):
    number: int
    key: str
    time: int
    ignored: bool
    hidden: bool


class Words(NamedTuple):
    """All in ms; None: not in the file."""

    every: int | None
    session: int | None
    delay: int
    lateness: int


@st.composite
def any_told(draw: st.DrawFn) -> list[Told]:
    told, time = [], draw(st.sampled_from(BEGINNINGS))
    for number in range(draw(st.integers(1, 25))):
        time += 500 * draw(st.sampled_from([0, 1, 1, 2, 3, 7, 20, -1, -4, -9]))
        ignored, hidden = draw(st.sampled_from([(False, False)] * 6 + [(True, False), (False, True)]))
        told.append(Told(number, draw(st.sampled_from("kkkz")), time, ignored, hidden))
    return told


SOON = st.sampled_from([0, SECOND, 3 * SECOND, 20 * SECOND])
WORDS = st.builds(
    Words, st.sampled_from([None, 1, SECOND, 2500, 5 * SECOND]), st.sampled_from([None, SECOND, 4 * SECOND]), SOON, SOON
)


def file_of(words: Words) -> str:
    pace = "" if words.every is None else f"show_every: {words.every}ms, "
    session = "last: 1d, " if words.session is None else f"session: {words.session}ms, "
    return FILE.format(pace=pace, session=session, delay=words.delay, lateness=words.lateness)


def expected(words: Words, told: list[Told], key: str) -> list[Told]:
    """Lines of the key: of every stretch the first, then those since the last silence."""
    in_time = [each for place, each in enumerate(told) if not _is_late(words, told[:place], each)]
    visible = [each for each in in_time if each.key == key and not each.ignored and not each.hidden]
    firsts = [each for place, each in enumerate(visible) if not any(_near(words, each, one) for one in visible[:place])]
    session: list[Told] = []
    for each in firsts:
        times = [one.time for one in session] or [each.time]
        if words.session is not None and each.time - max(times) >= words.session:
            session = [each]
        elif words.session is None or min(times) - each.time < words.session:
            session.append(each)
    event(f"of a stretch not the first: {len(visible) > len(firsts)}")
    event(f"before a silence: {len(firsts) > len(session)}")
    return session


def _is_late(words: Words, before: list[Told], each: Told) -> bool:
    return any(each.time < one.time - words.delay - words.lateness for one in before)


def _near(words: Words, each: Told, other: Told) -> bool:
    return words.every is not None and each.time // words.every == other.time // words.every


def value_of(each: Told) -> bytes:
    fields = {"key": each.key, "t": each.time, "n": each.number, "skip": each.ignored, "noise": int(each.hidden)}
    return json.dumps(fields).encode()


@given(WORDS, any_told(), DEEDS)
def test_product_and_oracle_agree_on_what_a_prompt_shows(words: Words, told: list[Told], deeds: list[Deed]) -> None:
    records = [Record(TOPIC, PARTITION, each.number, each.time, None, value_of(each)) for each in told]
    worker = Worker(plan_of(file_of(words)), records)
    live(worker, deeds, bounded=False)
    for key in "kz":
        shown = [json.loads(line)["n"] for line in worker.shown(key)]
        assert shown == [each.number for each in expected(words, told, key)]

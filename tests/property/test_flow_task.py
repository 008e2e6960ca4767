"""A task in somebody's dataflow, fed in any portions and put away at any places, does what one does that is never put away."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from tests.flows import BEGINNING_MS, TWO_SOURCES, essence, event, plan_of, record, setting_of

from penstock.connectors.bytewax_task import Setting, begun, resumed
from penstock.operators.record import Output, Record

NOW = BEGINNING_MS
DEAD = (b"{", None, b"[1]", b'{"n": 1}')


@cache
def any_record() -> SearchStrategy[Record]:
    """Mostly in order, with steps back, some of them too late; a few dead."""
    read = st.builds(
        lambda number, back: {**event(number), "ts": BEGINNING_MS + 1000 * (number - back)},
        st.integers(0, 120),
        st.sampled_from([0, 0, 0, 1, 3, 40]),
    )
    values = st.one_of(*[read.map(orjson.dumps)] * 8, st.sampled_from(DEAD))
    return st.builds(record, values, st.sampled_from(["auth", "auth", "flow"]))


def in_time(records: list[Record]) -> list[Record]:
    """Roughly: sorted in stretches of a few seconds."""
    return sorted(records, key=_stretch)


def _stretch(each: Record) -> int:
    if each.value is None or each.value in DEAD:
        return 0
    time: int = orjson.loads(each.value)["ts"]
    return time // 5000


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    folder: Path = tmp_path_factory.mktemp("flow")
    return setting_of(plan_of(folder, TWO_SOURCES))


def played(setting: Setting, records: list[Record], cuts: list[int], put_away: list[bool]) -> list[Output]:
    task, outputs = begun(setting, 0, NOW), list[Output]()
    for (first, last), saves in zip(pairwise([0, *cuts, len(records)]), put_away, strict=True):
        task.feed(records[first:last], NOW)
        outputs += task.take()
        if saves:
            task = resumed(setting, task.save(), NOW)
    task.end(NOW)
    return outputs + task.take()


@given(st.lists(any_record(), min_size=1, max_size=80).map(in_time), st.data())
def test_portions_and_restarts_change_nothing(setting: Setting, records: list[Record], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(records)), max_size=6)))
    put_away = data.draw(st.lists(st.booleans(), min_size=len(cuts) + 1, max_size=len(cuts) + 1))
    whole = played(setting, records, [], [False])
    assert essence(played(setting, records, cuts, put_away)) == essence(whole)

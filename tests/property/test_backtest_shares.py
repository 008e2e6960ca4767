"""A backtest that is shared by keys says what one task says that is fed record by record, whatever stands in the recordings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oracle.product import plan_of

from penstock.operators.event import Arrived, Ended
from penstock.operators.plan import Plan
from penstock.operators.record import Record
from penstock.operators.task import Task
from penstock.operators.timestamp import EARLIEST_MS
from penstock.pipelines.backtest import joined
from penstock.pipelines.backtest_feed import Share
from penstock.pipelines.backtest_input import Recording
from penstock.pipelines.backtest_play import play
from penstock.pipelines.backtest_row import time_of
from penstock.pipelines.backtest_rows import Coming, rows_of

PIPELINE = """
penstock: v1
name: shares
sources:
  one: {topic: one, key: event.k, time: {at: event.t, unit: ms}, watermark: {delay: 1s, lateness: 3s}, ignore: event.v == 9}
triggers:
  some: {each: event.v == 1, cooldown: 2s, agent: none}
  many: {when: 'count(event.v > 0, 4s) >= 3', until: 'count(event.v > 0, 4s) < 2', cooldown: 0s, agent: none}
  pair: {sequence: [{as: a, where: event.v == 1}, {as: b, where: event.v == 2}], within: 5s, agent: none}
  quiet: {absence: event.v == 1, for: 3s, agent: none}
  often: {every: 5s, over: active_keys, agent: none}
context: {forget: 20s}
"""
MERGED = PIPELINE.replace(
    "triggers:", "  two: {topic: two, key: event.k, time: {at: event.t, unit: ms}, watermark: {delay: 2s}}\ntriggers:"
)
TIMESTAMP = 2_000_000_000_000

ROWS = MERGED.replace(
    "triggers:",
    """tables: {hosts: {topic: hosts}}
triggers:
  known: {each: 'tables.hosts[key].level >= event.v', agent: none}
  silent: {absence: event.v > 0, for: 4s, expect: tables.hosts, agent: none}""",
)

usual = st.builds(
    lambda key, time, value: json.dumps({"k": key, "t": 1_000_000_000_000 + 500 * time, "v": value}).encode(),
    st.sampled_from(["a", "b", "c", "é"]), st.integers(0, 60), st.sampled_from([0, 1, 1, 2, 2, 9]),
)  # fmt: skip
unusual = st.sampled_from(
    [
        b"{",
        b"[]",
        b'{"k": 1, "t": 1000000000000}',
        b'{"k": "a", "t": "1000000001000", "v": 1}',
        b'{"k": "a"}',
        b'{"t": 5}',
        b'{"k": "a", "t": 1000000002000, "v": 1}  ',
        b'{"k":"a","t":1000000003000,"v":1}{"k":"b"}',
        b"\xff",
        b'{"k": "b", "t": 9e99}',
    ]
)
rarely_unusual = st.integers(0, 19).flatmap(lambda n: unusual if n == 0 else usual)
changes = st.builds(
    lambda key, time, level: json.dumps(
        {"key": key, "row": None if level is None else {"level": level},
         "at": None if time is None else 1_000_000_000_000 + 500 * time}
    ).encode(),
    st.sampled_from(["a", "b", "c", "é"]), st.none() | st.integers(-5, 65), st.none() | st.integers(0, 3),
)  # fmt: skip
recordings = st.one_of(st.lists(usual, max_size=60), st.lists(rarely_unusual, max_size=60))


def fed_one_by_one(plan: Plan, values: Sequence[bytes], rows: Sequence[Coming] = ()) -> list[Any]:
    """As any test of the core does it, with every record in a batch of its own."""
    task, waiting = Task(plan, 0), list(rows)
    task.opened({}, 0)
    for offset, value in enumerate(values):
        read = plan.sources[0].decode(Record("one", 0, offset, TIMESTAMP, None, value))
        while waiting and (waiting[0].at == EARLIEST_MS or (isinstance(read, tuple) and read[1] >= waiting[0].at)):
            task.feed(Arrived(waiting.pop(0).records, {}, 0))
        task.feed(Arrived({"one": [Record("one", 0, offset, TIMESTAMP, None, value)]}, {}, 0))
    for coming in waiting:
        task.feed(Arrived(coming.records, {}, 0))
    task.feed(Ended(0))
    cut = task.cut(seq=1, incarnation=1, owner="", build="", sent={})
    results = [
        (orjson.loads(out.value or b""), dict(out.headers)) for out in cut.outputs if out.topic == plan.results.results
    ]
    ends = {record["run"]: record["episode"]["ends_at"] for record, _ in results if record["state"] == "resolved"}
    fired = [(record, headers) for record, headers in results if record["state"] != "resolved"]
    return sorted((r["run"], time_of(h["ce_time"].decode()), r["end"], ends.get(r["run"])) for r, h in fired)


def backtested(
    plan: Plan,
    files: Mapping[str, Sequence[bytes]],
    of: int,
    block_bytes: int,
    *,
    hold: bool = False,
    rows: Sequence[bytes] = (),
) -> list[Any]:
    with TemporaryDirectory() as folder:
        inputs = {}
        for name, values in files.items():
            path = Path(folder, name)
            path.write_bytes(b"".join(value + b"\n" for value in values))
            inputs[name] = [Recording(path, TIMESTAMP, path.stat().st_size)]
        tables = {"hosts": Path(folder, "rows")}
        tables["hosts"].write_bytes(b"".join(row + b"\n" for row in rows))
        parts = [
            play(plan, inputs, share, rows=rows_of(plan, tables, share), hold=hold, block_bytes=block_bytes)
            for share in (Share(place, of) for place in range(of))
        ]
    history = joined(plan, parts)
    told = [row.as_json() for row in history.rows]
    counters = sorted(history.counters.items())
    return [
        [(row["run"], time_of(row["at"]), row["end"], row["resolved_at"]) for row in told],
        told,
        counters,
        history.keys,
    ]


@settings(max_examples=150, deadline=None)
@given(values=recordings, of=st.integers(2, 4), block_bytes=st.sampled_from([1, 100, 400, 1 << 18]), hold=st.booleans())
def test_any_number_of_shares_and_any_blocks_say_the_same(
    values: list[bytes], of: int, block_bytes: int, hold: bool
) -> None:
    plan = plan_of(PIPELINE)
    whole = backtested(plan, {"one": values}, 1, 1 << 18, hold=hold)
    assert backtested(plan, {"one": values}, of, block_bytes, hold=hold) == whole


@settings(max_examples=100, deadline=None)
@given(values=recordings)
def test_a_backtest_says_what_the_core_says_record_by_record(values: list[bytes]) -> None:
    plan = plan_of(PIPELINE)
    fired, *_ = backtested(plan, {"one": values}, 1, 1 << 18)
    assert sorted(fired) == fed_one_by_one(plan, values)


@settings(max_examples=100, deadline=None)
@given(one=recordings, two=recordings, of=st.integers(1, 3), block_bytes=st.sampled_from([1, 100, 1 << 18]))
def test_several_inputs_are_merged_alike_however_they_are_cut(
    one: list[bytes], two: list[bytes], of: int, block_bytes: int
) -> None:
    plan = plan_of(MERGED)
    files: dict[str, Sequence[bytes]] = {"one": one, "two": two}
    assert backtested(plan, files, of, block_bytes) == backtested(plan, files, 1, 70)


@settings(max_examples=150, deadline=None)
@given(
    one=recordings, two=recordings, rows=st.lists(changes, max_size=8), of=st.integers(2, 3),
    block_bytes=st.sampled_from([1, 200, 1 << 18]),
)  # fmt: skip
def test_rows_come_at_the_same_place_for_any_number_of_shares_and_any_blocks(
    one: list[bytes], two: list[bytes], rows: list[bytes], of: int, block_bytes: int
) -> None:
    plan, files = plan_of(ROWS), {"one": one, "two": two}
    assert backtested(plan, files, of, block_bytes, rows=rows) == backtested(plan, files, 1, 1 << 18, rows=rows)


@settings(max_examples=150, deadline=None)
@given(values=st.lists(usual, max_size=60), rows=st.lists(changes, max_size=8))
def test_rows_come_before_the_first_record_of_their_time(values: list[bytes], rows: list[bytes]) -> None:
    plan = plan_of(
        ROWS.replace("  two: {topic: two, key: event.k, time: {at: event.t, unit: ms}, watermark: {delay: 2s}}\n", "")
    )
    fired, *_ = backtested(plan, {"one": values}, 1, 200, rows=rows)
    with TemporaryDirectory() as folder:
        path = Path(folder, "rows")
        path.write_bytes(b"".join(row + b"\n" for row in rows))
        coming = rows_of(plan, {"hosts": path}, Share())
    assert sorted(fired) == fed_one_by_one(plan, values, coming)

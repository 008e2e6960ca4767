"""Tables of one task: what expressions and templates see of their rows, and what a restored task knows of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.oracle.product import plan_of
from tests.oracle.stand import Stand

from penstock.operators.event import Ask

WATCH = """
penstock: v1
name: looked-up
sources:
  auth: {topic: auth, key: event.host, time: {at: event.t, unit: s}, watermark: {delay: 0s, idle: never}}
tables:
  hosts: {topic: cmdb}
  users: {topic: staff, key: event.id}
triggers:
  public: {each: 'tables.hosts[key].class == "public"', agent: none}
  unknown: {each: '!has(tables.hosts[key])', agent: none}
  team: {each: 'tables.users[event.user].team == "ops"', agent: judge}
  many:
    when: count(true, 10s) >= tables.hosts[key].limit
    agent: none
    cooldown: 0s
    annotations: {owner: "{{ tables.hosts[key].owner }} of {{ tables.hosts[key].site.city | default('nowhere') }}"}
models:
  small: {base_url: "http://127.0.0.1:9/v1", model: tiny}
agents:
  judge: {ask: "Does {{ tables.users[values.user].team }} own {{ key }}? {{ tables.hosts.h.owner }}"}
define: {user: event.user}
"""

PUBLIC: Any = {"class": "public"}
PRIVATE: Any = {"class": "private"}


def fired(stand: Stand) -> list[str]:
    return [result["triggers"][0] for result in stand.results(stand.cut()) if result["state"] == "final"]


def test_an_expression_sees_the_rows_that_are_known_when_it_is_evaluated() -> None:
    stand = Stand(WATCH)
    stand.feed(stand.event(1))
    assert fired(stand) == ["unknown"]
    stand.feed(stand.row("h", **PUBLIC))
    assert fired(stand) == []
    stand.feed(stand.event(2))
    assert fired(stand) == ["public"]
    stand.feed(stand.row("h", **PRIVATE))
    stand.feed(stand.event(3))
    assert fired(stand) == []


def test_rows_of_one_batch_come_before_its_events() -> None:
    stand = Stand(WATCH)
    event = stand.event(1)
    stand.feed(event, stand.row("h", **PUBLIC))
    assert fired(stand) == ["public"]


def test_a_tombstone_takes_the_row_away() -> None:
    stand = Stand(WATCH)
    stand.feed(stand.row("h", **PUBLIC))
    stand.feed(stand.row("h"), stand.event(1))
    assert fired(stand) == ["unknown"]


def test_a_tombstone_names_the_record_of_the_row_and_not_its_key() -> None:
    stand = Stand(WATCH)
    stand.feed(stand.row("4711", "staff", id="ann", team="ops"), stand.row("17", "staff", id=17, team="ops"))
    assert (
        len(stand.feed(stand.event(1, user="ann"), stand.event(1, user=17))) == 2 - 1
    )  # the second waits for its turn
    stand.feed(stand.row("4711", "staff"))
    stand.cut()
    stand.feed(stand.event(2, user="ann"))
    assert stand.task.counters["fired", "team"] == 2


def test_a_record_that_goes_over_to_another_key_leaves_no_row_behind() -> None:
    stand = Stand(WATCH)
    stand.feed(stand.row("1", "staff", id="ann", team="ops"))
    stand.feed(stand.row("1", "staff", id="bob", team="ops"), stand.event(1, user="ann"))
    assert stand.task.counters["fired", "team"] == 0
    assert stand.task.rows == 1


def test_what_is_missing_is_unknown_in_a_template_too() -> None:
    stand = Stand(WATCH)
    stand.feed(stand.row("h", limit=2))
    stand.feed(stand.event(1), stand.event(2))
    [result] = [each for each in stand.results(stand.cut()) if each["triggers"] == ["many"]]
    assert result["annotations"] == {"owner": "unknown of nowhere"}


def test_a_question_shows_the_rows_of_its_moment_and_keeps_them_after_a_restart() -> None:
    stand = Stand(WATCH)
    stand.feed(stand.row("ann", "staff", id="ann", team="ops"), stand.row("h", owner="Eve"))
    [ask] = stand.feed(stand.event(1, user="ann"))
    assert isinstance(ask, Ask)
    assert "Does ops own h? Eve" in ask.request.messages[-1].content
    stand.feed(stand.row("ann", "staff", id="ann", team="sales"), stand.row("h"))
    stand.cut()
    [again] = stand.reopen()
    assert isinstance(again, Ask)
    assert again.request.messages == ask.request.messages


def test_a_row_that_changes_lets_time_make_a_condition_true_that_only_events_could() -> None:
    stand = Stand(WATCH)
    stand.feed(stand.row("h", limit=3))
    stand.feed(stand.event(1), stand.event(3))
    stand.feed(stand.row("h", limit=1))
    assert "many" not in fired(stand), "a row by itself evaluates nothing"
    stand.feed(stand.event(12, host="z"))
    [result] = [each for each in stand.results(stand.cut()) if each["triggers"] == ["many"]]
    assert result["why"]["fired_by"] == "timer@11000"


@pytest.mark.parametrize("snapshots", [0, 1, 4])
def test_a_restored_task_knows_the_rows_as_they_were_committed(snapshots: int) -> None:
    stand = Stand(WATCH)
    stand.feed(*[stand.row(f"h{number}", **PUBLIC) for number in range(9)])
    stand.feed(stand.row("h3"), stand.row("h4", **PRIVATE))
    stand.cut()
    for index in range(snapshots):
        stand.snapshot(index, snapshots)
    stand.feed(stand.row("h5"), stand.row("h9", **PUBLIC))
    stand.cut()
    stand.feed(stand.row("h1"))  # dies with the process
    stand.reopen()
    stand.feed(*[stand.event(1, host=f"h{number}") for number in range(10)])
    public = [result["key"] for result in stand.results(stand.cut()) if result["triggers"] == ["public"]]
    assert public == ["h0", "h1", "h2", "h6", "h7", "h8", "h9"]


def test_a_definition_without_the_table_forgets_its_rows() -> None:
    stand = Stand(WATCH)
    without = plan_of(WATCH.split("tables:", maxsplit=1)[0] + "triggers:\n  all: {each: 'true', agent: none}\n")
    stand.feed(stand.row("h", **PUBLIC))
    stand.cut()
    with_table = stand.plan
    stand.reopen(without)
    stand.cut("opened")
    stand.reopen(with_table)
    assert stand.task.rows == 0
    assert not [name for name in stand.task.positions if "/" in name], "it is read from its start again"


def test_another_key_of_the_rows_is_another_table() -> None:
    stand = Stand(WATCH)
    stand.feed(stand.row("h", id="i"))
    stand.cut()
    stand.reopen(plan_of(WATCH.replace("{topic: cmdb}", "{topic: cmdb, key: event.id}")))
    assert stand.task.rows == 0


def test_a_row_that_cannot_be_read_is_a_dead_letter_and_the_last_good_one_stays() -> None:
    stand = Stand(WATCH)
    stand.feed(stand.row("h", **PUBLIC))
    bad = stand.raw(b"{", 0, "cmdb")
    stand.feed(bad, stand.event(1))
    cut = stand.cut()
    assert [output.value for output in cut.outputs if output.topic == stand.plan.dead_topic] == [b"{"]
    assert [result["triggers"] for result in stand.results(cut)] == [["public"]]


def test_rows_move_no_watermark() -> None:
    stand = Stand(WATCH)
    stand.feed(stand.row("h", timestamp=10**9, a=1))
    assert stand.task.watermark is None


def test_rows_are_committed_like_anything_else() -> None:
    stand = Stand(WATCH)
    assert not stand.task.dirty
    stand.feed(stand.row("h", a=1))
    assert stand.task.dirty
    delta = json.loads(json.dumps(stand.cut().delta.rows, default=repr))
    assert delta[0][:2] == [stand.plan.tables[0].identity, "h"]

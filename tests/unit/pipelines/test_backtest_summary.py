"""What the figures of a backtest count."""

from __future__ import annotations

from collections import Counter

from tests.command_line import RULES
from tests.stage import compiled

from penstock.pipelines.backtest import History
from penstock.pipelines.backtest_against import compared
from penstock.pipelines.backtest_labels import Label
from penstock.pipelines.backtest_row import SKIPPED, Row
from penstock.pipelines.backtest_summary import summary

DAY = 86_400_000


def row(at: int, state: str = "final", **said: object) -> Row:
    whole: dict[str, object] = {
        "run": f"r{at}", "trigger": "root", "key": "k", "by": None, "at": at, "cause": f"auth/0@{at}", "end": False,
        "state": state, "agent": None, "labels": {}, "values": {}, "events": 1,
    }  # fmt: skip
    return Row(**(whole | said))  # type: ignore[arg-type]  # the names are those of the fields


def history(*rows: Row) -> History:
    return History(list(rows), Counter({("events", "auth"): 9}), 1, Counter(), 0, 2 * DAY)


def test_firings_are_counted_per_day_of_the_recording() -> None:
    told = summary(compiled(RULES).plan, history(row(1), row(2), row(3)), None)
    assert (told["firings"], told["days"], told["triggers"]["root"]["per_day"]) == (3, 2.0, 1.5)
    assert told["triggers"]["many"]["firings"] == 0


def test_what_fires_on_a_schedule_is_no_false_alarm() -> None:
    plan = compiled(RULES + "  digest: {every: 1h, agent: none}\n").plan
    told = summary(
        plan, history(row(5), row(DAY, trigger="digest"), row(DAY + 1, trigger="digest")), [Label(None, 0, 9)]
    )
    assert (told["labels"]["firings"], told["labels"]["precision"], told["firings"]) == (1, 1.0, 3)
    assert "labels" not in told["triggers"]["digest"]


def test_what_was_held_back_by_a_record_did_not_fire() -> None:
    told = summary(compiled(RULES).plan, history(row(1), row(2, SKIPPED)), None)
    assert (told["firings"], told["triggers"]["root"]["skipped"]) == (1, 1)


def test_several_firings_at_one_instant_are_compared_one_by_one() -> None:
    first, second = row(1, answer={"a": 1}), row(1, answer={"a": 2})
    difference = compared([first, second], [first, row(1, answer={"a": 3})])
    assert [one.fields for one in difference.changed] == [{"answer": ({"a": 2}, {"a": 3})}]
    assert (difference.both, difference.gone, difference.new) == (2, [], [])
    assert [one.at for one in compared([first, second], [first]).gone] == [1]


def test_an_answer_that_nobody_asked_for_is_no_difference() -> None:
    assert not compared([row(1, "asked")], [row(1, "final", answer={"a": 1})]).any
    assert compared([row(1, "failed")], [row(1, "final")]).any

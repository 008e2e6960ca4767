"""Every model call that was paid for without need is on the bill."""

from __future__ import annotations

import orjson
import pytest

from penstock.pipelines.torture_calls import Bill, Call, Judged, bill, read_calls

SAID = '{"verdict": "fine"}'
ANSWER = {"verdict": "fine"}


def call(begun: float, run: str = "0-ab", said: str | None = None) -> Call:
    return Call(f"{run}.1.{begun:g}", run, begun, said)


def billed(*calls: Call, opened: tuple[float, ...] = (0.0,), outcome_at: float = 100.0) -> Bill:
    return bill(calls, {"0-ab": Judged(outcome_at, ANSWER, opened)})


def kinds(found: Bill) -> list[str]:
    return [problem.kind for problem in found.problems]


def test_one_call_for_a_run_is_what_it_costs() -> None:
    found = billed(call(10, said=SAID))
    assert (found.paid_again, found.problems) == (0, [])


def test_a_call_that_is_asked_again_after_its_task_was_opened_anew_is_excused() -> None:
    found = billed(call(10), call(20, said=SAID), opened=(0.0, 15.0))
    assert (found.paid_again, found.problems) == (1, [])


def test_whoever_loses_a_task_may_learn_it_a_little_later() -> None:
    found = billed(call(10), call(10.5, said=SAID), opened=(0.0, 9.0))
    assert (found.paid_again, found.problems) == (1, [])


def test_one_opening_excuses_one_call() -> None:
    found = billed(call(10), call(20), call(20.5), call(30, said=SAID), opened=(0.0, 15.0))
    assert (found.paid_again, kinds(found)) == (1, ["repaid", "repaid"])


@pytest.mark.parametrize("opened", [(), (0.0,), (0.0, 21.0)])
def test_a_call_that_is_asked_again_for_no_reason_is_not_excused(opened: tuple[float, ...]) -> None:
    found = billed(call(10), call(20, said=SAID), opened=opened)
    assert (found.paid_again, kinds(found)) == (0, ["repaid"])
    assert "0-ab.1.20" in found.problems[0].text


def test_a_call_after_the_answer_was_there_has_no_excuse_whatever_happened() -> None:
    found = billed(call(10, said=SAID), call(101), opened=(0.0, 100.5))
    assert (found.paid_again, kinds(found)) == (0, ["repaid"])


def test_a_call_for_a_run_that_there_is_not_has_no_excuse() -> None:
    assert kinds(billed(call(10, said=SAID), call(11, run="0-cd"))) == ["repaid"]


@pytest.mark.parametrize("said", [None, '{"verdict": "broken"}'])
def test_an_answer_that_no_model_gave_is_a_contradiction(said: str | None) -> None:
    assert kinds(billed(call(10, said=said))) == ["contradicted"]


def test_an_answer_without_any_call_is_a_contradiction() -> None:
    assert kinds(billed()) == ["contradicted"]


def test_the_log_of_the_model_server_is_read_as_it_is_written() -> None:
    lines = [
        {"at": 1.0, "id": "0-ab.1.ff", "event": "begun", "prompt": "00"},
        {"at": 1.5, "id": "0-ab.2.ee", "event": "begun", "prompt": "00"},
        {"at": 2.0, "id": "0-ab.1.ff", "event": "aborted"},
        {"at": 3.0, "id": "0-ab.2.ee", "event": "finished", "said": SAID},
    ]
    written = [orjson.dumps(line) + b"\n" for line in lines]
    expected = [Call("0-ab.1.ff", "0-ab", 1.0), Call("0-ab.2.ee", "0-ab", 1.5, SAID)]
    assert read_calls(written) == expected
    assert read_calls([*written, b'{"at": 4.0, "id": "0-a']) == expected, "the last line is being written"

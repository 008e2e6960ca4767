"""What a forecast makes of the days of a recording, and what it says of an earlier one."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from tests.stage import compiled

from penstock.operators.error import Misused
from penstock.pipelines.backtest import History
from penstock.pipelines.backtest_earlier import errors_of
from penstock.pipelines.backtest_forecast import forecast
from penstock.pipelines.backtest_rates import rates_of
from penstock.pipelines.backtest_row import SKIPPED, Asked, Row, used_of

DAY, HOUR, SECOND = 86_400_000, 3_600_000, 1000
PLAN = compiled("""
penstock: v1
name: asking
sources: {auth: {topic: auth, key: event.host}}
triggers: {root: {each: event.user == "root", agent: judge}, odd: {each: event.odd, agent: report}}
models:
  small: {base_url: "http://127.0.0.1:9/v1", model: tiny, price: {input: 1, output: 1}}
  large: {base_url: "http://127.0.0.1:9/v1", model: big}
agents:
  judge: {models: [small, large], ask: "Is {{ key }} well?"}
  report: {models: [large], ask: Sum up.}
""").plan
GIVEN = rates_of(["prefill=100/s", "decode=10tok/s"], ["small", "large"])


def asked(model: str = "small", seconds: float | None = None, cost: float | None = 0.5) -> Asked:
    """500 tokens to compute and 50 to write: ten seconds at the given rates."""
    return Asked(model=model, input_tokens=600, cached_input_tokens=100, output_tokens=50, cost=cost, seconds=seconds)


def row(at: int, *route: Asked, agent: str = "judge", key: str = "k", state: str = "final", delay: int = 0) -> Row:
    calls = list(route) or [asked()]
    return Row(
        run=f"{at} {key} {agent}", trigger="root", key=key, by=None, at=at, cause=f"auth/0@{at}", end=False, state=state,
        agent=agent, labels={}, values={}, events=1, usage=used_of(calls, estimated=False), route=calls, delay=delay,
    )  # fmt: skip


def told(rows: list[Row], days: float, *rates: str) -> dict[str, Any]:
    history = History(rows, Counter(), 1, Counter(), 0, int(days * DAY))
    return forecast(PLAN, history, rates_of(rates, ["small", "large"]) if rates else GIVEN)


def test_figures_are_per_day_with_the_least_and_the_most_of_whole_days() -> None:
    """Three calls on the first day, one on the second, two in the half that is left."""
    rows = [row(at) for at in (0, HOUR, 2 * HOUR, DAY, 2 * DAY, 2 * DAY + HOUR)]
    found = told(rows, 2.5)
    assert (found["days"], found["whole_days"]) == (2.5, 2)
    assert found["all"]["runs"] == {"per_day": 2.4, "low": 1, "high": 3}
    assert found["all"]["input_tokens"] == {"per_day": 1440, "low": 600, "high": 1800}
    assert found["all"]["cost"] == {"per_day": 1.2, "low": 0.5, "high": 1.5}


def test_less_than_two_days_have_no_range() -> None:
    assert told([row(0)], 0.5)["all"]["runs"] == {"per_day": 2, "low": None, "high": None}
    assert told([row(0)], 0)["all"]["runs"]["per_day"] is None


def test_agents_and_models_are_told_apart_and_a_run_that_asked_two_models_is_one_of_each() -> None:
    found = told([row(0, asked("small"), asked("large", cost=None)), row(0, asked("large"), agent="report")], 1)
    runs = {name: one["runs"]["per_day"] for group in ("agents", "models") for name, one in found[group].items()}
    assert runs == {"judge": 1, "report": 1, "small": 1, "large": 2}
    assert (found["all"]["runs"]["per_day"], found["all"]["calls"]["per_day"]) == (2, 3)
    assert (found["models"]["small"]["cost"]["per_day"], found["all"]["cost"]["per_day"]) == (0.5, None)


def test_calls_in_flight_follow_from_firings_and_rates() -> None:
    """
    a   ├─────────┤          ten seconds each
    b        ├─────────┤
    c                               ├─────────┤
    """
    flight = told([row(0, key="a"), row(5 * SECOND, key="b"), row(60 * SECOND, key="c")], 1)["all"]["in_flight"]
    assert flight["max"] == flight["p95"] == 2
    assert flight["mean"] == pytest.approx(30 / 86_400)


def test_calls_of_one_key_and_agent_go_one_after_the_other() -> None:
    again = [row(0), row(5 * SECOND), row(19 * SECOND)]
    assert told(again, 1)["all"]["in_flight"]["max"] == 1
    assert told([*again, row(29 * SECOND, key="other")], 1)["all"]["in_flight"]["max"] == 2


def test_a_run_that_is_spread_begins_later() -> None:
    digests = [row(0, key=str(number), delay=number * 10 * SECOND) for number in range(5)]
    assert told(digests, 1)["all"]["in_flight"]["max"] == 1


def test_gpu_seconds_follow_from_throughput_and_gpus_and_are_a_bound_without() -> None:
    rates = ("prefill=100/s", "decode=10/s")
    assert told([row(0)], 1, *rates)["all"]["gpu_seconds"]["per_day"] == pytest.approx(10)
    assert told([row(0)], 1, *rates, "throughput=50/s", "gpus=2")["all"]["gpu_seconds"]["per_day"] == pytest.approx(12)


def test_a_model_may_have_rates_of_its_own_and_those_without_any_are_not_known() -> None:
    found = told([row(0), row(0, asked("large"), agent="report")], 1, "small.prefill=500/s", "small.decode=50/s")
    assert found["models"]["small"]["gpu_seconds"]["per_day"] == pytest.approx(2)
    assert found["models"]["large"]["gpu_seconds"]["per_day"] is None
    assert found["all"]["in_flight"] == {"mean": None, "low": None, "high": None, "p95": None, "max": None}


def test_rates_are_measured_where_calls_were_timed() -> None:
    history = History([row(0, asked(seconds=5)), row(HOUR)], Counter(), 1, Counter(), 0, DAY)
    found = forecast(PLAN, history, {})
    assert found["rates"] == {"small": {"origin": "measured", "batched": False, "decode": 10}}
    assert found["all"]["in_flight"]["mean"] == pytest.approx(10 / 86_400)


def test_what_was_held_back_or_never_asked_is_no_run() -> None:
    quiet = row(0, agent="judge", key="q")
    quiet.route = []
    assert told([row(0, state=SKIPPED), quiet], 1)["all"]["runs"]["per_day"] == 0


def test_the_error_of_an_earlier_forecast_is_a_signed_share_of_what_came() -> None:
    earlier = told([row(0), row(DAY), row(DAY + HOUR)], 2)
    came = told([row(number * HOUR) for number in range(4)], 2)
    errors = errors_of(earlier, came)
    assert errors["all"]["runs"] == {"forecast": 1.5, "came": 2, "error": -0.25, "within": True}
    assert errors["models"]["large"]["runs"]["error"] == 0
    assert errors_of(came, told([], 2))["all"]["runs"] == {"forecast": 2, "came": 0, "error": None, "within": True}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("speed=1/s", "is no rate"), ("prefill=8000", "is no rate"), ("gpus=2/s", "is no rate"), ("decode=0/s", "never over"),
        ("tiny.decode=1/s", "there is no model 'tiny'"), ("decode=6/s", "nothing says the rate of prefill"),
    ],
)  # fmt: skip
def test_a_rate_that_is_none_is_refused(text: str, said: str) -> None:
    with pytest.raises(Misused, match=said):
        rates_of([text], ["small"])

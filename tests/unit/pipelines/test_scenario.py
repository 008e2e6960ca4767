"""What a file of scenarios may say."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from penstock.pipelines.scenario import Expect, Repeat, Step, line_range


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ({}, "one of `event`, `text`, `file`, `row`, `advance` or `end`; found none of them"),
        ({"event": {}, "text": "x"}, "found `event` and `text`"),
        ({"event": {}, "lines": "1-2"}, "`lines` does not go with `event`"),
        ({"file": "x", "repeat": {"times": 2}}, "`repeat` does not go with `file`"),
        ({"advance": "5m", "at": "1m"}, "`at` does not go with `advance`"),
        ({"end": True, "source": "auth"}, "`source` does not go with `end`"),
        ({"text": None}, "found none of them"),
        ({"file": "x", "lines": "9-1"}, "'9-1' is no range of lines"),
        ({"advance": "0s"}, "greater than 0"),
    ],
)
def test_a_step_is_one_thing_with_what_goes_with_it(step: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Step.model_validate(step)


def test_an_event_of_nothing_is_a_step_too() -> None:
    assert Step.model_validate({"event": None}).deeds == ["event"]
    assert Repeat.model_validate({"times": 2}).every == 0


@pytest.mark.parametrize(("text", "found"), [("7", (7, 7)), ("1-200", (1, 200)), ("3-3", (3, 3))])
def test_lines_are_one_or_a_range(text: str, found: tuple[int, int]) -> None:
    assert line_range(text) == found


@pytest.mark.parametrize("text", ["", "0", "0-3", "-3", "3-", "1-2-3", "x", "5-4"])
def test_what_is_no_range_of_lines_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no range of lines"):
        line_range(text)


@pytest.mark.parametrize(
    ("expect", "told"),
    [
        ({}, "say what has to happen, with one of `none`, `firings`"),
        ({"none": True, "firings": []}, "`none` says that nothing fires"),
        ({"none": False}, "Input should be True"),
        ({"firings": [{"triger": "x"}]}, "Extra inputs are not permitted"),
    ],
)
def test_an_expectation_says_something_that_can_hold(expect: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Expect.model_validate(expect)

"""Logs of every format that there ever was can be read, and are gone on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.oracle.stand import Stand
from tests.unit.state.golden_log import EVENTS, FOLDER, golden_entries, stand_with_gates, stand_with_log

from penstock.operators.event import Answered, Ask, Effect, Usage
from penstock.state.codec import encode
from penstock.state.delta import FORMAT

FILES = sorted(FOLDER.glob("format_*.jsonl"))
GATES = sorted(FOLDER.glob("gates_*.jsonl"))
FIRST_WITH_GATES = 4
VERDICT = '{"verdict": "attack", "why": "because"}'


def reopened(path: Path, stand: Stand | None = None) -> tuple[Stand, list[Effect]]:
    """A task on the log in a file, where the one that wrote it was killed."""
    stand = stand or stand_with_log()
    stand.log = [encode(entry) for entry in golden_entries(path)]
    return stand, stand.reopen()


def test_there_is_a_log_of_every_format() -> None:
    assert [path.stem for path in FILES] == [f"format_{number}" for number in range(1, FORMAT + 1)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_log_of_this_format_restores_what_was_known_when_it_was_written(path: Path) -> None:
    stand, _ = reopened(path)
    undisturbed = stand_with_log()
    undisturbed.reopen()
    assert encode(stand.task.image(0, 1, 3)) == encode(undisturbed.task.image(0, 1, 3))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_its_run_is_asked_again_and_its_episode_its_cooldown_and_its_digest_go_on(path: Path) -> None:
    stand, effects = reopened(path)
    [ask] = [effect for effect in effects if isinstance(effect, Ask)]
    shown = "".join(message.content for message in ask.request.messages)
    assert [f'"t":{time}' in shown for time, _, _ in EVENTS] == [True] * len(EVENTS)
    stand.task.feed(Answered(ask.call_id, VERDICT, "stop", Usage()))
    stand.feed(stand.event(5, x="b", v=9), stand.event(20, x="c", v=1))
    told = [_short(result) for result in stand.results(stand.cut())]
    assert told == ["many final attack", "many resolved attack", "often final None"]
    assert stand.task.counters["suppressed", "seen"] == 1


def test_there_is_a_log_of_every_format_that_has_gates() -> None:
    assert [path.stem for path in GATES] == [f"gates_{number}" for number in range(FIRST_WITH_GATES, FORMAT + 1)]


@pytest.mark.parametrize("path", GATES, ids=lambda path: path.stem)
def test_what_its_limit_has_counted_and_who_is_inhibited_go_on(path: Path) -> None:
    """Two of three firings are counted, one in the image; the takeover at 10s inhibits until 16s."""
    stand, _ = reopened(path, stand_with_gates())
    stand.feed(*[stand.event(time, x="f") for time in (12, 17, 18)])
    told = [(result["state"], result.get("reason")) for result in stand.results(stand.cut())]
    assert told == [("skipped", "inhibited"), ("final", None), ("skipped", "limit")]


@pytest.mark.parametrize("path", GATES, ids=lambda path: path.stem)
def test_the_log_in_the_file_has_counts_and_inhibitions_in_its_image_and_in_its_last_delta(path: Path) -> None:
    *_, image, delta = golden_entries(path)
    assert image.counted
    assert delta.counted
    assert all("/inhibits" in str(entry) for entry in (image, delta))


def _short(result: dict[str, Any]) -> str:
    verdict = (result["answer"] or {}).get("verdict")
    return f"{result['triggers'][0]} {result['state']} {verdict}"

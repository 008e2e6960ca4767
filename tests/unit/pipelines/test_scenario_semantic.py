"""Scenarios of events that a model judges: what it says of them is scripted, and what follows is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.scenarios import suite_of, told, verdict_of

DESK = """
penstock: v1
name: desk
sources:
  chat: {topic: chat, key: event.customer, watermark: {delay: 0s}}
triggers:
  angry: {semantic: event.text, model: small, options: [calm, annoyed, furious], is: furious, agent: none}
models:
  small: {base_url: "http://127.0.0.1:9/v1", model: tiny}
"""
THREE = (
    "[{event: {customer: ann, text: one}}, {event: {customer: ann, text: two}}, {event: {customer: ann, text: three}}]"
)
FIRED = "{trigger: angry, key: ann, values: {label: furious, probability: %s}}"


@pytest.mark.parametrize(
    ("answers", "fires"),
    [
        ("furious", ["1", "1", "1"]),
        ("calm", []),
        ("{furious: 0.6, calm: 0.4}", ["0.6", "0.6", "0.6"]),
        ("[calm, furious, {furious: 0.75, annoyed: 0.25}]", ["1", "0.75"]),
        ("[refuse, cut, furious]", ["1"]),
        ("[timeout, unusable, furious]", ["1"]),
    ],
)
def test_what_a_model_says_of_a_text_decides(answers: str, fires: list[str], tmp_path: Path) -> None:
    expect = f"{{firings: [{', '.join(FIRED % each for each in fires)}], prompts: []}}"
    found = verdict_of(tmp_path, THREE, expect, f"{{angry: {answers}}}", DESK)
    assert (told(found), found.complaints) == ([], ())


NEW = DESK.replace("model: small, options: [calm, annoyed, furious], is: furious", "model: embed, unlike: 1h").replace(
    "small: {", "embed: {kind: embedding, "
)


@pytest.mark.parametrize(
    ("answers", "fires"),
    [
        ("{vector: [1, 0]}", [1]),
        ("[{vector: [1, 0]}, {vector: [-1, 0]}, {vector: [1, 0]}]", [1, 2]),
        ("[refuse, words, unusable]", [1]),
    ],
)
def test_vectors_decide_what_is_new(answers: str, fires: list[int], tmp_path: Path) -> None:
    firings = ", ".join(f"{{trigger: angry, values: {{distance: {each}}}}}" for each in fires)
    found = verdict_of(tmp_path, THREE, f"{{firings: [{firings}]}}", f"{{angry: {answers}}}", NEW)
    assert [(section, kind) for section, kind, _ in told(found)] == []


def test_vectors_may_follow_from_words(tmp_path: Path) -> None:
    """The third text has the words of the first."""
    events = THREE.replace("three", "One!")
    expect = "{firings: [{trigger: angry, at: 0s, values: {distance: 1}}, {trigger: angry}], counts: {judgements: 3}}"
    found = verdict_of(tmp_path, events, expect, "{angry: words}", NEW)
    assert (told(found), found.complaints) == ([], ())


@pytest.mark.parametrize("answers", ["{angry: furious}", "{angry: {vector: []}}", "{angry: {vector: [a]}}"])
def test_what_is_no_vector_is_a_mistake(answers: str, tmp_path: Path) -> None:
    scenario = f"scenarios:\n  - {{name: one, answers: {answers}, events: {THREE}, expect: {{none: true}}}}\n"
    [problem] = suite_of(tmp_path, scenario, NEW).problems
    assert "it says `words`, {vector: [1, 0]}, or one of refuse" in problem.message


def test_calls_and_events_without_a_verdict_can_be_counted(tmp_path: Path) -> None:
    events = THREE.replace("two", "one")
    expect = "{none: true, counts: {judgements: 2, judged_before: 1, unjudged: 1}}"
    found = verdict_of(tmp_path, events, expect, "{angry: [calm, refuse]}", DESK)
    assert (told(found), found.complaints) == ([], ())


def test_without_an_answer_it_says_what_to_write(tmp_path: Path) -> None:
    found = verdict_of(tmp_path, THREE, "{none: true}", pipeline=DESK)
    assert found.complaints == ("angry asked 3 times about an event without an answer; write `answers: {angry: …}`",)


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ("{angry: happy}", "it says one of calm, annoyed, furious, refuse, cut, timeout, unusable, or how likely"),
        ("{angry: {happy: 1}}", "'happy' is none of calm, annoyed, furious"),
        ("{angry: {calm: 2}}", "it says one of calm"),
        ("{hungry: calm}", "there is no agent 'hungry'"),
    ],
)
def test_what_a_model_cannot_say_is_a_mistake(answers: str, message: str, tmp_path: Path) -> None:
    scenario = f"scenarios:\n  - {{name: one, answers: {answers}, events: {THREE}, expect: {{none: true}}}}\n"
    [problem] = suite_of(tmp_path, scenario, DESK).problems
    assert message in problem.message

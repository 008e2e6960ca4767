"""What a batch that ended well may still fail on."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from penstock.operators.error import Misused
from penstock.operators.key_state import Counts
from penstock.pipelines.fail_on import judged, parse_fail_on
from penstock.pipelines.worker import Summary

COUNTS: Counts = Counter(
    {("dead", "keyless"): 2, ("dead", "undecodable"): 1, ("degraded", "judge"): 1, ("fired", "many"): 7}
)
SUMMARY = Summary(0, "", COUNTS, {}, 1.0)


def test_the_words_stand_with_commas_between_them_and_default_to_none() -> None:
    assert parse_fail_on(None) == ()
    assert parse_fail_on("dead") == ("dead",)
    assert parse_fail_on("dead, failed,degraded") == ("dead", "failed", "degraded")


@pytest.mark.parametrize("text", ["", "lost", "dead,", "dead;failed", "Dead"])
def test_another_word_is_misuse_and_the_words_that_there_are_are_named(text: str) -> None:
    with pytest.raises(Misused, match=r"--fail-on: .* \(write dead, failed or degraded, or several"):
        parse_fail_on(text)


def test_what_was_named_and_counted_is_exit_code_1_and_a_sentence() -> None:
    told = judged(SUMMARY, ("dead", "failed", "degraded"))
    assert told.exit_code == 1
    assert told.problem.startswith("--fail-on: there are 3 dead letters and 1 degraded result (")
    assert judged(SUMMARY, ("degraded",)).problem.startswith("--fail-on: there is 1 degraded result (")
    assert told.counts == COUNTS


@pytest.mark.parametrize("words", [(), ("failed",)])
def test_what_was_not_named_or_did_not_happen_is_fine(words: tuple[str, ...]) -> None:
    assert judged(SUMMARY, words) == SUMMARY


def test_a_process_that_ended_badly_keeps_its_own_reason() -> None:
    refused = replace(SUMMARY, exit_code=4, problem="the log is damaged")
    assert judged(refused, ("dead",)) == refused

"""`penstock run --fail-on`: what a batch that ended well may still fail on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from penstock.operators.error import Misused, Rejected
from penstock.pipelines.worker import Summary

WORDS: Mapping[str, str] = {"dead": "dead letter", "failed": "failed result", "degraded": "degraded result"}
"""Each is the name of a counter of the core."""


def parse_fail_on(text: str | None) -> tuple[str, ...]:
    """`dead,failed`; None: no word. Raises Misused for a word that there is not."""
    words = tuple(word.strip() for word in text.split(",")) if text is not None else ()
    for word in words:
        if word not in WORDS:
            remedy = "write dead, failed or degraded, or several of them with commas"
            raise Misused(f"there is nothing called {word!r} to fail on", where="--fail-on", remedy=remedy)
    return words


def judged(summary: Summary, words: Sequence[str]) -> Summary:
    """With exit code 1 and a sentence where the process ended well, and something was counted that a word names."""
    found = {word: sum(count for name, count in summary.counts.items() if name[0] == word) for word in words}
    told = [f"{count} {WORDS[word]}{'s' if count > 1 else ''}" for word, count in found.items() if count]
    if summary.exit_code or not told:
        return summary
    there = "there is" if sum(found.values()) == 1 else "there are"
    remedy = "`penstock tail` shows results, and dead letters with --topic dead"
    problem = Rejected(f"{there} {_listed(told)}", where="--fail-on", remedy=remedy)
    return replace(summary, exit_code=problem.exit_code, problem=str(problem))


def _listed(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))

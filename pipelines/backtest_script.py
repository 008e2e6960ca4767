"""Scripted answers of a backtest: the rules of `fake-model --answers`. They look at the prompt and at nothing else."""

from __future__ import annotations

from pathlib import Path

from penstock.operators.event import Ask
from penstock.pipelines.backtest_answering import Script
from penstock.pipelines.fake_answer import load_rules, simulated_answer
from penstock.pipelines.fake_schema import Unsupported

UNANSWERABLE = ""
"""What is said where a schema is beyond the simulated model: no answer fits it, and the run ends as it would."""


def load_script(path: Path | None) -> Script:
    """None: answers of the simulated model, as in `penstock demo`. Raises Rejected for a file that is none of rules."""
    rules = () if path is None else load_rules(path)

    def script(ask: Ask) -> str:
        try:
            return simulated_answer(ask.request.messages, ask.request.schema, rules)
        except Unsupported:
            return UNANSWERABLE

    return script

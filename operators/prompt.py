"""What a model is shown, laid out so that a prefix cache can keep most of it.

    system   system text of the file, instructions for the answer      equal for every run of the agent
    user     summary of evicted events                                 changes when a segment is evicted
             events, oldest first, one line of JSON each               only grows in between
    ───────────────────────────────────────────────────────────────────────────────────────────────────
             key, trigger, time, values, what is corrected, question   the tail: different every time

Two prompts of one key differ first where the shorter one has its tail, unless a segment was evicted between them. One time
stamp, counter or unsorted value above the line would make every prompt a new one. There is one user message because chat
templates of several models refuse two in a row.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from penstock.operators.answer import AnswerShape
from penstock.operators.decode import render_line
from penstock.operators.event import Message
from penstock.operators.instant import iso_text
from penstock.operators.run import Correction, Run

EVENTS_HEAD = "Events, oldest first, one per line:"
SUMMARY_HEAD = "Events that are not shown any more:"
QUOTE_CHARACTERS_MAX = 4000
"""How much of an unusable answer a repair call repeats."""


def system_text(system: str, shape: AnswerShape | None) -> str:
    """The system message of an agent: the same bytes for every key, run and attempt."""
    parts = [system.strip(), "" if shape is None else shape.instruction()]
    return "\n\n".join(part for part in parts if part)


def stable_text(summary: str, lines: Iterable[bytes]) -> str:
    """The part of the user message above the tail; a prefix of itself with more lines."""
    head = f"{SUMMARY_HEAD}\n{summary}\n\n{EVENTS_HEAD}\n" if summary else f"{EVENTS_HEAD}\n"
    return head + "".join([f"{render_line(line).decode()}\n" for line in lines])


def tail_text(run: Run) -> str:
    """What is different every time. Data is quoted as JSON, so that it cannot look like a line of ours."""
    firing = run.firing
    return (
        f"\nKey: {_json_text(firing.key)}\n"
        f"Trigger: {firing.trigger}\n"
        f"Condition: {_json_text(firing.condition)}\n"
        f"Time: {iso_text(firing.at)}\n"
        f"Values: {_json_text(firing.values)}\n"
        f"{'' if firing.corrects is None else _corrects_text(firing.corrects)}"
        f"\n{run.question}"
    )


def _corrects_text(correction: Correction) -> str:
    """Whoever asks need not know that there are corrections."""
    holds = "did not hold then" if correction.withdrawn else "held then, with the values above"
    return (
        f"Corrects: what was said at {iso_text(correction.at)}, with the values {_json_text(correction.values)}. "
        f"By an event that came since it is known that the condition {holds}.\n"
    )


def first_messages(system: str, run: Run, lines: Iterable[bytes]) -> tuple[Message, ...]:
    """System (if there is a text) and user."""
    user = Message("user", stable_text(run.view.summary, lines) + tail_text(run))
    return (Message("system", system), user) if system else (user,)


def repair_messages(first: tuple[Message, ...], refused_text: str, because: str) -> tuple[Message, ...]:
    """The first messages as they were, the answer that could not be used, and what is wrong with it."""
    quoted = refused_text[:QUOTE_CHARACTERS_MAX] or "(nothing)"
    complaint = (
        f"The last answer was not usable: {because}. Answer again, in full, with nothing but what was asked for."
    )
    return (*first, Message("assistant", quoted), Message("user", complaint))


def _json_text(value: Any) -> str:
    return orjson.dumps(value).decode()

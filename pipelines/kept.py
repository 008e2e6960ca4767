"""Answers that were heard and are not committed yet, for the case that the task is lost before they are.

Whoever opens the task again in this process asks the same question, as a new attempt, and gets the answer that was paid for
(protocol rule 11). Held in memory only, and only so much: an answer that is gone is asked for again.
"""

from __future__ import annotations

from collections import OrderedDict

from penstock.operators.event import Answered

ANSWERS_MAX = 1_000
CHARACTERS_MAX = 64_000_000


class KeptAnswers:
    """By question (`Ask.question`), the latest of each; the oldest go first."""

    def __init__(self, most: int = ANSWERS_MAX, characters_max: int = CHARACTERS_MAX) -> None:
        self._most, self._characters_max = most, characters_max
        self._answers: OrderedDict[str, Answered] = OrderedDict()
        self._question_of: dict[str, str] = {}
        self._characters = 0

    def keep(self, question: str, answer: Answered) -> None:
        self._drop(question)
        self._answers[question] = answer
        self._question_of[answer.call_id] = question
        self._characters += len(answer.text)
        while len(self._answers) > self._most or self._characters > self._characters_max:
            self._drop(next(iter(self._answers)))

    def find(self, question: str) -> Answered | None:
        return self._answers.get(question)

    def forget(self, call_id: str) -> None:
        """What came of this answer is committed. Unknown ones are none of our concern."""
        question = self._question_of.get(call_id)
        if question is not None:
            self._drop(question)

    def _drop(self, question: str) -> None:
        answer = self._answers.pop(question, None)
        if answer is not None:
            del self._question_of[answer.call_id]
            self._characters -= len(answer.text)

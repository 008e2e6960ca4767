"""What a scripted model says of the text of an event, and what it cannot say.

angry: furious                        one of the options
angry: {furious: 0.6, calm: 0.4}      how likely each is
new_pattern: words                    a vector that follows from the words, as the simulated server gives
new_pattern: {vector: [1, 0]}         this vector
either: refuse                        no answer
"""

from __future__ import annotations

from math import log
from typing import Any

from penstock.operators.event import Answered, Ask, CallLost, Usage
from penstock.operators.question import Options
from penstock.operators.trigger_semantic import Semantic
from penstock.pipelines.fake_vector import simulated_vector
from penstock.pipelines.scenario import FAULTS

WORDS, VECTOR = "words", "vector"


def judged(ask: Ask, said: Any) -> Answered | CallLost:
    """The answer to a question about an event, from what the scenario says; `misjudged` has nothing against it."""
    call = ask.call_id
    if said == "unusable":
        return Answered(call, "", "stop", Usage(), simulated=True)
    if isinstance(said, str) and said in FAULTS:
        return CallLost(call, "invalid", f"{said}, by the scenario")
    if said == WORDS:
        vector = tuple(simulated_vector(ask.request.messages[-1].content))
        return Answered(call, "", "stop", Usage(), simulated=True, vector=vector)
    if isinstance(said, dict) and VECTOR in said:
        return Answered(call, "", "stop", Usage(), simulated=True, vector=tuple(said[VECTOR]))
    likely = said if isinstance(said, dict) else {str(said): 1}
    tops = tuple((option, log(share)) for option, share in likely.items() if share > 0)
    return Answered(call, "", "stop", Usage(), simulated=True, tops=tops)


def misjudged(trigger: Semantic, answer: Any) -> str | None:
    """Why a model cannot say this of a text."""
    if isinstance(answer, str) and answer in FAULTS:
        return None
    faults = ", ".join(FAULTS)
    if isinstance(trigger.judge, Options):
        return _no_option(trigger.judge.options, answer, faults)
    if answer == WORDS or (isinstance(answer, dict) and answer.keys() == {VECTOR} and _is_vector(answer[VECTOR])):
        return None
    return f"it says `{WORDS}`, {{{VECTOR}: [1, 0]}}, or one of {faults}"


def _no_option(options: Any, answer: Any, faults: str) -> str | None:
    if isinstance(answer, str) and answer in options:
        return None
    if isinstance(answer, dict) and all(
        isinstance(share, int | float) and 0 <= share <= 1 for share in answer.values()
    ):
        strange = next((option for option in answer if option not in options), None)
        return strange and f"{strange!r} is none of {', '.join(options)}"
    return f"it says one of {', '.join(options)}, {faults}, or how likely each is: {{{options[0]}: 0.9}}"


def _is_vector(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(number, int | float) for number in value)

"""A question to a small model about one event: which of a few words fits it? The answer is how likely each of them is.

    calm 0.02   annoyed 0.05   furious 0.93        by the log-probabilities of the answer's first token

A token counts for the option that it begins, and for none if it could begin two. What is on no option is left out, and where
that is nearly everything the answer says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from math import exp
from typing import Any, NamedTuple

import msgspec

from penstock.operators.agent_plan import EndpointPlan
from penstock.operators.event import Answered, ChatRequest, Message, Tops, Usage
from penstock.operators.novelty import Seen
from penstock.operators.run import ID_BYTES, RecordCause
from penstock.operators.watermark import NEVER

Verdict = Sequence[float] | bytes
"""How likely each option is, in their order; or the text's vector. Empty where nothing was said."""
TEXT_CHARACTERS_MAX = 8_000
"""Of longer texts the beginning is asked about."""
TOPS = 20
"""How many first tokens are asked for; more than that servers refuse."""
LEAST_SHARE = 0.1
"""An answer of which less is on the options says nothing."""
LABEL, PROBABILITY = "label", "probability"
INSTRUCTION = "Which of these fits the text best? Answer with one of them and nothing else: "
_AROUND = " \t\r\n\"'`*([{"
_PLACES = 6


class Said(NamedTuple):
    """What came of a call. `usage` is None for those who did not pay for it: it was asked for somebody else."""

    verdict: Verdict
    usage: Usage | None
    simulated: bool


class Question(NamedTuple):
    """One event that waits for a verdict. `call` names what is asked: equal for equal texts.

    `time` is its event time, `now` N of its key when it was fed, `watermark` that of the task then. `cause` is its record, `told`
    how results name it; `values` are what definitions were. `said` is None while it waits.
    """

    call: str
    text: str
    time: int
    now: int
    watermark: int
    cause: RecordCause
    told: str
    values: dict[str, Any]
    said: Said | None = None


class Options:
    """Fires where one of the options is at least so likely."""

    def __init__(self, options: Sequence[str], wanted: str, threshold: float) -> None:
        self.options, self.threshold = options, threshold
        self._wanted, self._place = wanted, options.index(wanted)
        self.told = f"is {wanted}"

    def request(self, endpoint: EndpointPlan, text: str) -> ChatRequest:
        return option_request(endpoint, text, self.options)

    def verdict(self, answered: Answered) -> Sequence[float]:
        return likelihoods(self.options, answered.tops)

    def decide(self, now: int, verdict: Any, seen: tuple[Seen, ...]) -> tuple[dict[str, Any] | None, tuple[Seen, ...]]:
        """The values of a firing, if it is one. Nothing is remembered."""
        likely = verdict[self._place]
        return ({LABEL: self._wanted, PROBABILITY: likely} if likely >= self.threshold else None), seen

    def over(self, seen: tuple[Seen, ...]) -> int:
        return NEVER


def option_request(endpoint: EndpointPlan, text: str, options: Sequence[str]) -> ChatRequest:
    """One token is generated. The beginning is equal for all texts, so that a prefix cache can keep it."""
    return ChatRequest(
        model=endpoint.model,
        messages=(Message("system", instruction(options)), Message("user", text)),
        parameters={**endpoint.parameters, "temperature": 0, "logprobs": True, "top_logprobs": TOPS},
    )


def instruction(options: Sequence[str]) -> str:
    return INSTRUCTION + ", ".join(options)


def options_in(system: str) -> list[str]:
    """The options that an instruction names; none: it is something else."""
    return system.removeprefix(INSTRUCTION).split(", ") if system.startswith(INSTRUCTION) else []


def call_of(endpoint: str, request: ChatRequest) -> str:
    """What is asked of whom, as a digest. O(length of the text)."""
    return blake2b(msgspec.msgpack.encode([endpoint, request]), digest_size=ID_BYTES).hexdigest()


def likelihoods(options: Sequence[str], tops: Tops) -> Sequence[float]:
    """How likely each option is, all together 1; nothing where that cannot be told."""
    found = [0.0] * len(options)
    for token, logprob in tops:
        word = token.strip(_AROUND).casefold()
        begun = [place for place, option in enumerate(options) if word and option.casefold().startswith(word)]
        if len(begun) == 1:
            found[begun[0]] += exp(min(logprob, 0.0))
    total = sum(found)
    return tuple(round(part / total, _PLACES) for part in found) if total >= LEAST_SHARE else ()

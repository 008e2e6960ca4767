"""How many tokens a prompt has, and how many of them a prefix cache holds: an estimate, see `operators/prefix.py`.

A prompt is compared with the last one of its key and model, and with the system prompt, which some other key has asked with
before. That follows from the key alone, so the estimate is the same however many share the work; that keys push each other
out of a server's memory is not in it.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import takewhile
from zlib import crc32

from penstock.operators.event import Ask, Usage
from penstock.operators.model import TOKENS_MAX
from penstock.operators.prefix import BLOCK, prompt_ids, token_ids

ANSWER_TOKENS = 150
"""What an answer is taken to have where nobody knows: a verdict and two sentences."""


def tokens_max(ask: Ask) -> int:
    """How long an answer may get, by the request."""
    bounds = (ask.request.parameters.get(name) for name in ("max_tokens", "max_completion_tokens"))
    return min((bound for bound in bounds if isinstance(bound, int)), default=TOKENS_MAX)


class TokenEstimate:
    """Remembers of every key the last prompt, by the hashes of its blocks."""

    def __init__(self, answer_tokens: int = ANSWER_TOKENS) -> None:
        self._answer_tokens = answer_tokens
        self._last: dict[tuple[str, str], Sequence[int]] = {}
        self._systems: dict[str, Sequence[int]] = {}

    def unanswered(self, ask: Ask) -> Usage:
        """With an answer of the usual length, or of the bound that the request has if that is lower."""
        return self._usage(ask, min(self._answer_tokens, tokens_max(ask)))

    def answered(self, ask: Ask, text: str) -> Usage:
        return self._usage(ask, len(token_ids(text)))

    def last_blocks(self, ask: Ask) -> bytes:
        """Of the prompt that was counted last of its key and model: the names of its full blocks."""
        return array("I", self._last[ask.key, ask.endpoint]).tobytes()

    def _usage(self, ask: Ask, output_tokens: int) -> Usage:
        ids = prompt_ids(ask.request.messages)
        chain, place = _chain(ids), (ask.key, ask.endpoint)
        known = max(_common(chain, other) for other in (self._last.get(place, ()), self._system(ask)))
        self._last[place] = chain
        reusable = max(len(ids) - 1, 0) // BLOCK
        return Usage(len(ids), min(known, reusable) * BLOCK, output_tokens)

    def _system(self, ask: Ask) -> Sequence[int]:
        first = ask.request.messages[0]
        if first.role != "system":
            return ()
        if first.content not in self._systems:
            alone = prompt_ids([first])
            self._systems[first.content] = _chain(alone[: -len(token_ids("assistant")) - 1])
        return self._systems[first.content]


def _common(chain: Sequence[int], other: Sequence[int]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(chain, other, strict=False)))


def _chain(ids: array[int]) -> Sequence[int]:
    """One number per full block, which tells all tokens up to its end."""
    data, width, before = memoryview(ids.tobytes()), BLOCK * ids.itemsize, 0
    chain = array("I")
    for start in range(0, len(data) - width + 1, width):
        before = crc32(data[start : start + width], before)
        chain.append(before)
    return chain

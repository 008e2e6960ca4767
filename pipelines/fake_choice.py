"""The log-probabilities of the simulated model: of options as it weighs them, of anything else it is sure.

which of calm, annoyed, furious? ─▶ weights 0.05 0.05 0.9 ─▶ the first token of each: fur -0.105, calm -2.996, ann -2.996
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log

from penstock.operators.event import Message, Tops
from penstock.operators.prefix import pieces
from penstock.pipelines.fake_answer import Rule, simulated_weights

IMPOSSIBLE = -9999.0
"""What vLLM says in place of minus infinity."""


def simulated_tops(messages: Sequence[Message], tokens: Sequence[str], rules: Sequence[Rule], most: int) -> list[Tops]:
    """In the place of each token that was generated: itself, then at most so many with their log-probabilities."""
    weights = simulated_weights(messages, rules)
    weighed = sorted(weights.items(), key=lambda each: -each[1])
    first = tuple((pieces(option)[0].decode(), log(weight) if weight > 0 else IMPOSSIBLE) for option, weight in weighed)
    sure: list[Tops] = [((token, 0.0),) for token in tokens]
    return [first[: max(most, 1)], *sure[1:]] if first and tokens[:1] == [first[0][0]] else sure

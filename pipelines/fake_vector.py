"""Vectors of the simulated model: a text is the sum of its words, and a word is a direction that its letters decide.

Texts with the same words are at distance 0, without a word in common at about 1, whatever the words mean.
"""

from __future__ import annotations

import re
from hashlib import shake_256

DIMENSIONS = 256
_WORD = re.compile(r"\w+")


def simulated_vector(text: str) -> list[float]:
    """Equal for equal texts in every process. A text without words is one word that no other text has."""
    words = _WORD.findall(text.casefold()) or [""]
    return [float(sum(numbers)) for numbers in zip(*map(_direction, words), strict=True)]


def _direction(word: str) -> list[int]:
    return [2 * byte - 255 for byte in shake_256(word.encode("utf-8", "replace")).digest(DIMENSIONS)]

"""How many tokens a text will cost, before any server has counted them."""

from __future__ import annotations

BYTES_PER_TOKEN = 4


def estimate(size: int) -> int:
    """Tokens of `size` bytes of text, by the rule of thumb of four bytes a token (rounded up). Budgets of the context only."""
    return -(-size // BYTES_PER_TOKEN)

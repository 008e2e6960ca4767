"""What runs one input: the contract, and what they share."""

from __future__ import annotations

from collections import Counter
from typing import Protocol

from penstock.connectors.embedded_input import InputLog


class Input(Protocol):
    """One input of one source, which writes what comes into the log that it is given."""

    quiet_since: float | None
    """Since when nothing has come, in monotonic seconds; None: something is about to be written, or nobody has looked yet."""

    counts: Counter[tuple[str, ...]]
    """What it has met beside the records that it wrote, by (what, which): exported as metrics."""

    absent: str
    """Why nothing of what it reads was ever there; empty once something was, and where it is others who write to it."""

    async def run(self, log: InputLog) -> None:
        """Until it is cancelled, or nothing can come any more. Raises Lost, Unreachable: open the log again; StateRefused."""
        ...

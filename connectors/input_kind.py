"""What runs one input: the contract, and what they share."""

from __future__ import annotations

from typing import Protocol

from penstock.connectors.embedded_input import InputLog


class Input(Protocol):
    """One input of one source, which writes what comes into the log that it is given."""

    quiet_since: float | None
    """Since when nothing has come, in monotonic seconds; None: something is about to be written, or nobody has looked yet."""

    async def run(self, log: InputLog) -> None:
        """Until it is cancelled, or nothing can come any more. Raises Lost, Unreachable: open the log again; StateRefused."""
        ...

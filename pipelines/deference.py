"""Whether to leave a task to a newer deployment: in a rolling update old processes get tasks, too (protocol rule 16).

    log ends with another definition, by a process that was started after us ─▶ left alone for 30 s, 60 s, … up to 10 min
    looked at again: it goes on there                                        ─▶ left alone, for longer
                     nothing was written since                               ─▶ nobody works on it: ours, by our definition

Who was started later is right: in a roll-out the new file, in a roll-back the old one. Only for so long, though: where the new
deployment is gone, or its clock is wrong, the work is done all the same.
"""

from __future__ import annotations

from penstock.operators.error import Declined
from penstock.operators.instant import iso_text
from penstock.state.delta import Header

DEFER_FIRST = 30.0
DEFER_LONGEST = 600.0


class Deference:
    """Of one process, for one task. `started` is when the process was (ms), `definition` the digest of what it runs."""

    def __init__(self, definition: str, started: int) -> None:
        self._definition, self._started = definition, started
        self._seconds = DEFER_FIRST
        self._seq: int | None = None

    def look_at(self, last: Header | None, where: str) -> None:
        """`last` is what the log's end says, before we write there. Raises Declined."""
        if last is None or last.definition == self._definition or last.started <= self._started:
            return
        if last.seq == self._seq:
            return
        seconds, self._seq = self._seconds, last.seq
        self._seconds = min(2 * seconds, DEFER_LONGEST)
        raise Declined(
            f"{last.owner}, started at {iso_text(last.started)}, has worked on it by another definition, "
            f"{last.definition[:19]}; this process was started before that and leaves it alone for {seconds:.0f} s",
            where=where,
            seconds=seconds,
        )

"""What the end of a log says of how its owners died, and which record is to blame (protocol rule 1).

    opened †  opened †  opened †   opened  trial of x †   opened  trial of x †   opened: x becomes a dead letter
    └─ anything may have ended them ─┘ └────── x was fed alone, and nothing else happened ─────┘

An owner that finds three openings behind it after which nothing was committed takes in one record per commit, and announces
each in the log before it touches it. So the log names the record that somebody died of; being killed while restoring, before
the first commit or by a neighbour condemns none. Whoever lost a task and lives says so in its next `opened`: no death either.
"""

from __future__ import annotations

from collections import Counter

from penstock.state.delta import Header, Trial

SUSPICIOUS_DEATHS = 3
"""So many in a row without a commit in between: the next owner takes in one record at a time."""
CONDEMNING_DEATHS = 2
"""So many while the same record was fed alone: the next owner makes it a dead letter."""
TRIALS_MAX = 1_000
"""Records to try before they are fed in batches again: about what is fed before a first commit."""


class Deaths:
    """Sees every header of a log while it is restored, then `opened` once for the opening that follows."""

    def __init__(self) -> None:
        self._openings = 0
        self._on_trial: Trial | None = None
        self._died_of: Counter[Trial] = Counter()

    def met(self, header: Header) -> None:
        """The next header in the log."""
        if header.kind == "opened":
            self.opened(again=header.again)
        elif header.trial is not None:
            self._on_trial = header.trial
        else:
            self._acquit(header)

    def opened(self, *, again: bool) -> None:
        """An opening follows. `again`: by the process that wrote what is before it, so nobody died."""
        if self._on_trial is not None and not again:
            self._died_of[self._on_trial] += 1
        self._on_trial = None
        self._openings += not again

    def _acquit(self, header: Header) -> None:
        """A commit came through: it acquits every record that it has passed."""
        self._openings, self._on_trial = 0, None
        for topic, offset in list(self._died_of):
            if topic not in header.positions or header.positions[topic].offset > offset:
                del self._died_of[topic, offset]

    @property
    def suspicious(self) -> bool:
        """Records should be taken in one at a time."""
        return self._openings > SUSPICIOUS_DEATHS or bool(self._died_of)

    @property
    def condemned(self) -> frozenset[Trial]:
        """Records to be made dead letters instead of being fed."""
        return frozenset(trial for trial, deaths in self._died_of.items() if deaths >= CONDEMNING_DEATHS)

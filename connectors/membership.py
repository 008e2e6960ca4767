"""Who works on which partition, where no consumer group decides it: processes that share a file, or a memory.

Every member sees the same seats and settles them in the same way, under the store's lock. A partition stays where it is
as far as the shares allow. Its owner is asked first, and has until `until` to hand it over:

    Seat()  ──▶  Seat(a)  ──b joins──▶  Seat(a, heir=b, until)  ──a gives up, dies or is late──▶  Seat(b)

Nothing rests on it but who does the work: two owners of one partition fence each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from penstock.connectors.lease import HANDOVER_SECONDS
from penstock.connectors.port import MAIN, Asked, Assignment, Given, Taken, TaskId

BEATS_PER_SESSION = 10
BEAT_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Terms:
    """Times of one group, in ms: a member that was not heard of for `session` is dead; `handover` to finish when asked."""

    session: int = 10_000
    handover: int = int(HANDOVER_SECONDS * 1_000)

    @property
    def beat(self) -> int:
        """Every member looks at the seats so often."""
        return min(self.session // BEATS_PER_SESSION, BEAT_MAX)

    @property
    def notice(self) -> int:
        """From the moment when a seat has an heir: its owner sees that within a beat, and has to finish from then on."""
        return self.beat + self.handover


TERMS = Terms()


class Seat(NamedTuple):
    """One partition: who works on it, who is to have it, and when it passes to the heir at the latest (ms)."""

    owner: str | None = None
    heir: str | None = None
    until: int = 0


Seats = dict[int, Seat]


def alive(heartbeats: Mapping[str, int], now: int, session: int) -> list[str]:
    """Members heard of lately, sorted. A heartbeat from the future is as bad as none: the clock was set back."""
    return sorted(member for member, at in heartbeats.items() if abs(now - at) < session)


def settle(seats: Mapping[int, Seat], members: Iterable[str], partitions: int, now: int, notice: int) -> Seats:
    """The seats as they should be now, given who is alive. Settling again changes nothing."""
    living = set(members)
    current = {number: _living(seats.get(number, Seat()), living) for number in range(partitions)}
    wanted = _shares({number: seat.heir or seat.owner for number, seat in current.items()}, sorted(living))
    return {number: _moved(current[number], wanted[number], now, notice) for number in current}


def _living(seat: Seat, living: set[str]) -> Seat:
    """The seat without the dead."""
    owner = seat.owner if seat.owner in living else None
    heir = seat.heir if seat.heir in living else None
    return Seat(owner, heir, seat.until if owner is not None and seat.heir is not None else 0)


def _moved(seat: Seat, wanted: str | None, now: int, notice: int) -> Seat:
    if seat.owner is None or seat.owner == wanted:
        return Seat(wanted)
    until = seat.until or now + notice
    return Seat(wanted) if now >= until else Seat(seat.owner, wanted, until)


def _shares(holders: Mapping[int, str | None], members: list[str]) -> dict[int, str | None]:
    """Equal shares, give or take one; whoever holds a partition keeps it while that does not exceed the share."""
    if not members:
        return dict.fromkeys(holders)
    room = _room(holders, members)
    shares: dict[int, str | None] = {}
    for number, holder in holders.items():
        kept = holder is not None and room[holder] > 0
        shares[number] = holder if kept else None
        if holder is not None and kept:
            room[holder] -= 1
    free = [member for member in members for _ in range(room[member])]
    for number in (number for number, member in shares.items() if member is None):
        shares[number] = free.pop(0)
    return shares


def _room(holders: Mapping[int, str | None], members: list[str]) -> dict[str, int]:
    """How many partitions each may have; what does not divide goes to those who hold most already."""
    least, more = divmod(len(holders), len(members))
    held = {member: sum(holder == member for holder in holders.values()) for member in members}
    lucky = sorted(members, key=lambda member: -held[member])[:more]
    return {member: least + (member in lucky) for member in members}


class Standing:
    """What one member was told so far, and so what it has to be told next."""

    def __init__(self, member: str) -> None:
        self._member = member
        self._told: dict[int, Literal["given", "asked"]] = {}

    def is_asked(self, partition: int) -> bool:
        return self._told.get(partition) == "asked"

    def changes(self, seats: Mapping[int, Seat], now: int) -> list[Assignment]:
        """In the order of partitions; takings first, so that a process never works on more than its share."""
        taken: list[Assignment] = []
        others: list[Assignment] = []
        for number, seat in sorted(seats.items()):
            task, told = TaskId(MAIN, number), self._told.get(number)
            if seat.owner != self._member:
                if told is not None:
                    del self._told[number]
                    taken.append(Taken(task))
            elif seat.heir is None and told != "given":
                self._told[number] = "given"
                others.append(Given(task))
            elif seat.heir is not None and told == "given":
                self._told[number] = "asked"
                others.append(Asked(task, max(0.0, (seat.until - now) / 1000)))
        return taken + others

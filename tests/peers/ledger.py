"""What has to come out of the workload, and what is wrong with what came out.

Per key, every EVERY-th event is told once: counts 20, 40, …, in this order. A told record also names the event that made the
system tell it; for a right state that is the event with the number of the count.

    told of a key       20 40 60        right
                        20 60           lost 1
                        20 40 40 60     duplicated 1
                        20 60 40        disordered 1
                        20 40 60 80     wrong 1, if the key has fewer than 80 events
                        20 40@43 60@63  wrong 2: three events are missing from the state
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields

EVERY = 20


@dataclass(frozen=True)
class Told:
    """An output record: the state's `count` of `key`, told at the key's event number `n` (from 1)."""

    key: str
    count: int
    n: int


@dataclass(frozen=True)
class Verdict:
    """How many records. `wrong_keys`: keys whose last told count is not the last one due, or was told at another event."""

    expected: int
    seen: int
    lost: int
    duplicated: int
    disordered: int
    wrong: int
    wrong_keys: int

    @property
    def holds(self) -> bool:
        return not (self.lost or self.duplicated or self.disordered or self.wrong or self.wrong_keys)


def due(events: Iterable[str]) -> dict[str, list[int]]:
    """Per key the counts to be told, of the keys of all events."""
    return {key: list(range(EVERY, count + 1, EVERY)) for key, count in Counter(events).items()}


def judge(expected: Mapping[str, Sequence[int]], told: Iterable[Told]) -> Verdict:
    """`told`: as a committed reader sees it, the records of one key in the order of their offsets."""
    by_key: dict[str, list[Told]] = defaultdict(list)
    for each in told:
        by_key[each.key].append(each)
    keys = sorted(expected.keys() | by_key.keys())
    verdicts = [astuple(_of_key(expected.get(key, ()), by_key[key])) for key in keys]
    return Verdict(*map(sum, zip(_NOTHING, *verdicts, strict=True)))


def _of_key(expected: Sequence[int], told: Sequence[Told]) -> Verdict:
    first = list(dict.fromkeys(each.count for each in told if each.count in expected))
    last_is_right = (told[-1].count, told[-1].n) == (expected[-1],) * 2 if told and expected else not (told or expected)
    return Verdict(
        expected=len(expected),
        seen=len(told),
        lost=len(set(expected) - set(first)),
        duplicated=sum(each.count in expected for each in told) - len(first),
        disordered=sum(count < max(first[:place], default=0) for place, count in enumerate(first)),
        wrong=sum(each.count not in expected or each.n != each.count for each in told),
        wrong_keys=int(not last_is_right),
    )


_NOTHING = (0,) * len(fields(Verdict))

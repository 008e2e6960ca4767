"""Faults that the simulated server makes on purpose, at given rates and decided by a seed: `cut=0.1,busy=0.05`.

Decided by the prompt and how often it was asked before, not by the order of requests: the same run meets the same faults.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal, get_args

from penstock.operators.error import Misused

Fault = Literal["busy", "cut", "empty", "endless", "garbage", "slow", "wrong"]
"""503 · the connection breaks within the answer · nothing · no end before `max_tokens` · no JSON · a tenth of the speed ·
JSON that the schema does not allow."""
_REMEMBERED_PROMPTS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class FaultRates:
    """Probabilities that add up to 1 at most. `of` draws evenly from 32 bits of a hash."""

    rates: tuple[tuple[Fault, float], ...] = ()
    seed: int = 0

    def of(self, prompt: bytes, asked_before: int) -> Fault | None:
        digest = blake2b(prompt, digest_size=4, key=f"{self.seed}/{asked_before}".encode()).digest()
        drawn = int.from_bytes(digest) / 2**32
        for fault, rate in self.rates:
            if drawn < rate:
                return fault
            drawn -= rate
        return None


NO_FAULTS = FaultRates()


def parse_faults(spec: str, seed: int = 0) -> FaultRates:
    """`cut=0.1,busy=0.05`; empty: none. Raises Misused."""
    rates: dict[Fault, float] = {}
    for part in filter(None, spec.split(",")):
        name, _, rate = part.partition("=")
        fault = next((known for known in get_args(Fault) if known == name.strip()), None)
        if fault is None or not rate.strip().replace(".", "", 1).isdecimal():
            raise Misused(
                f"{part!r} is no fault", where="--fault", remedy=f"write {'=0.1, '.join(get_args(Fault))}=0.1"
            )
        rates[fault] = float(rate)
    if sum(rates.values()) > 1:
        raise Misused(f"the rates of {spec!r} add up to more than 1", where="--fault", remedy="make them smaller")
    return FaultRates(tuple(rates.items()), seed)


class FaultSource:
    """Draws faults and counts how often each prompt was asked (the last 10,000 prompts)."""

    def __init__(self, rates: FaultRates) -> None:
        self._rates = rates
        self._asked: OrderedDict[bytes, int] = OrderedDict()

    def draw(self, prompt: bytes) -> Fault | None:
        if not self._rates.rates:
            return None
        name = blake2b(prompt, digest_size=16).digest()
        before = self._asked.pop(name, 0)
        self._asked[name] = before + 1
        if len(self._asked) > _REMEMBERED_PROMPTS_MAX:
            self._asked.popitem(last=False)
        return self._rates.of(name, before)

"""What the simulated model sees in a prompt: how many events show trouble, of which kind, from where, which number leapt.

No intelligence is claimed: fixed words are counted, and the newest value of a series is held against the earlier ones. The
same prompt always gives the same evidence.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev

_TROUBLE = re.compile(
    r"fail\w*|error|critical|fatal|anomal\w*|denied|invalid|refused|reject\w*|attack\w*|exceeded|timed?[ -]?out|"
    r"unreachable|break-in|breach\w*|overload\w*|panic|exception|exhausted|corrupt\w*|severe|crash\w*",
    re.IGNORECASE,
)
_CALM = re.compile(
    r"accepted|success\w*|succeeded|\bok\b|normal|healthy|completed|granted|recovered|\bopened\b|\binfo\b",
    re.IGNORECASE,
)
_JSON_KEY = re.compile(r'"[^"\\]*"\s*:')
_ADDRESS = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b")
_TEXT_FIELD = re.compile(r'"([A-Za-z_]\w*)":"([^"\\\s]{1,64})"')
_LAST_NUMBER = re.compile(r'(?:"([^"]+)"\s*:\s*|[,;\t ])(-?\d+(?:\.\d+)?)\s*}?\s*$')
_SERIES_MIN = 8
_DOUBT_EVENTS = 4  # so many events more would be needed to be sure


@dataclass(frozen=True, slots=True)
class Leap:
    """The newest part of a series against the rest, in standard deviations."""

    name: str
    usual: float
    newest: float
    deviations: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """Counts over the lines of a prompt. `alarm` is 0 (calm) to 1 (trouble); 0.5 where nothing speaks either way."""

    lines: int
    troubled: int
    calm: int
    word: str
    word_count: int
    address: str
    address_count: int
    leap: Leap | None
    alarm: float
    values: Mapping[str, str]
    """The most frequent text of each named field of the events that show trouble."""

    @property
    def confidence(self) -> float:
        """0.5 when nothing is known, towards 1 the clearer the counts are."""
        return round(0.5 + abs(self.alarm - 0.5), 2)


def evidence(contents: Sequence[str]) -> Evidence:
    """Evidence of the prompt's messages other than the system's. Questions are no events: lines that end in `?` are left out."""
    lines = [
        line
        for content in contents
        for line in content.splitlines()
        if line.strip() and not line.rstrip().endswith("?")
    ]
    words: Counter[str] = Counter()
    addresses: Counter[str] = Counter()
    fields: Counter[tuple[str, str]] = Counter()
    troubled = calm = 0
    for line in lines:
        values = _JSON_KEY.sub(" ", line)  # "error": null is no error
        found = _TROUBLE.search(values)
        if found is not None:
            troubled += 1
            words[found[0].lower()] += 1
            addresses.update(set(_ADDRESS.findall(values)))
            fields.update(_TEXT_FIELD.findall(line))
        elif _CALM.search(values):
            calm += 1
    leap = _leap(lines)
    word, word_count = _most_common(words)
    address, address_count = _most_common(addresses)
    alarm = _alarm(troubled, calm, leap)
    usual = {name: text for (name, text), _ in reversed(fields.most_common())}
    return Evidence(len(lines), troubled, calm, word, word_count, address, address_count, leap, alarm, usual)


def _alarm(troubled: int, calm: int, leap: Leap | None) -> float:
    counted = troubled + calm
    if counted == 0:
        return 0.5 if leap is None else round(min(leap.deviations / 6, 1.0), 3)
    share = troubled / counted
    return round(0.5 + (share - 0.5) * counted / (counted + _DOUBT_EVENTS), 3)


def _most_common(counts: Counter[str]) -> tuple[str, int]:
    return min(counts.items(), key=lambda item: (-item[1], item[0])) if counts else ("", 0)


def _leap(lines: Sequence[str]) -> Leap | None:
    """The last number of each line as a series: how far its newest tenth lies from the rest."""
    matches = [match for line in lines if (match := _LAST_NUMBER.search(line))]
    if len(matches) < _SERIES_MIN:
        return None
    series = [float(match[2]) for match in matches]
    newest = max(len(series) // 10, 1)
    usual = fmean(series[:-newest])
    spread = pstdev(series[:-newest]) or 1.0
    recent = fmean(series[-newest:])
    return Leap(
        matches[-1][1] or "the value", round(usual, 3), round(recent, 3), round(abs(recent - usual) / spread, 2)
    )

"""How fast a model's server is, hence how long its calls take: as `--rate` says, or as calls of this history were timed.

--rate prefill=8000/s          of every model; tok/s is the same
--rate small.decode=60/s       of one

prefill      prompt tokens that are computed per second
decode       tokens per second of one answer
throughput   tokens per second of all answers together; default: as `decode`, as if a GPU served one answer at a time
gpus         GPUs of the server; default 1
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from penstock.operators.error import Misused
from penstock.pipelines.backtest_row import Asked

SPEEDS = ("prefill", "decode", "throughput")
GPUS, CACHE = "gpus", "cache"
COUNTS = (GPUS, CACHE)
NEEDED = ("prefill", "decode")
REMEDY = "write prefill=8000/s, decode=60/s, throughput=2400/s, gpus=2 or cache=250000; for one model small.decode=60/s"
_RATE = re.compile(r"(?:(?P<model>[A-Za-z_][\w-]*)\.)?(?P<name>[a-z]+)=(?P<number>\d+(?:\.\d+)?)(?P<unit>(?:tok)?/s)?")

Rates = Mapping[str, Mapping[str, float]]
"""What was given of each model; of "" what holds for those that say nothing of their own."""


class Speed(NamedTuple):
    """Seconds of an answer and of GPUs per token. `batched`: a GPU serves several answers at once, as `throughput` says."""

    computed: float
    output: float
    gpu_computed: float
    gpu_output: float
    origin: Literal["given", "measured"]
    batched: bool

    def seconds(self, asked: Asked) -> float:
        """That a call takes where nothing waits for a seat: as it was timed, if it was."""
        return asked.seconds if asked.seconds is not None else _of(asked, self.computed, self.output)

    def gpu_seconds(self, asked: Asked) -> float:
        return _of(asked, self.gpu_computed, self.gpu_output)


def _of(asked: Asked, computed: float, output: float) -> float:
    return (asked.input_tokens - asked.cached_input_tokens) * computed + asked.output_tokens * output


def rates_of(options: Sequence[str], models: Iterable[str]) -> Rates:
    """As they stand on the command line. Raises Misused."""
    known, found = set(models), dict[str, dict[str, float]]()
    for text in options:
        match = _RATE.fullmatch(text)
        if match is None or match["name"] not in (SPEEDS if match["unit"] else COUNTS):
            raise Misused(f"{text!r} is no rate", where="--rate", remedy=REMEDY)
        if match["model"] is not None and match["model"] not in known:
            raise Misused(
                f"there is no model {match['model']!r}",
                where="--rate",
                remedy=f"name one of: {', '.join(sorted(known))}",
            )
        if not float(match["number"]):
            raise Misused(f"{text!r} is never over", where="--rate", remedy=REMEDY)
        found.setdefault(match["model"] or "", {})[match["name"]] = float(match["number"])
    for model in known:
        _check_whole(model, given_of(found, model))
    return found


def given_of(rates: Rates, model: str) -> dict[str, float]:
    """What holds for a model: what was given of it, and else of all."""
    return {**rates.get("", {}), **rates.get(model, {})}


def _check_whole(model: str, given: Mapping[str, float]) -> None:
    missing = [name for name in NEEDED if name not in given]
    if missing and set(SPEEDS) & given.keys():
        raise Misused(
            f"nothing says the rate of {missing[0]} of {model}",
            where="--rate",
            remedy=f"give prefill and decode: --rate {missing[0]}=…/s",
        )


def speeds(rates: Rates, calls: Iterable[Asked], models: Iterable[str]) -> dict[str, Speed]:
    """Of every model of which something is known: what was given, else what was measured."""
    timed = _timed(calls)
    found: dict[str, Speed] = {}
    for model in models:
        given = given_of(rates, model)
        gpus = given.get(GPUS, 1.0)
        if given.keys() >= set(NEEDED):
            throughput = given.get("throughput", given["decode"])
            computed, output = 1 / given["prefill"], 1 / given["decode"]
            batched = "throughput" in given
            found[model] = Speed(computed, output, gpus * computed, gpus / throughput, "given", batched)
        elif model in timed:
            each = timed[model]
            found[model] = Speed(0.0, each, 0.0, gpus * each, "measured", batched=False)
    return found


def _timed(calls: Iterable[Asked]) -> dict[str, float]:
    """Seconds per token of an answer, reading the prompt included, of calls that were timed."""
    seconds, tokens = dict[str, float](), dict[str, int]()
    for asked in calls:
        if asked.seconds is not None:
            seconds[asked.model] = seconds.get(asked.model, 0.0) + asked.seconds
            tokens[asked.model] = tokens.get(asked.model, 0) + asked.output_tokens
    return {model: spent / tokens[model] for model, spent in seconds.items() if tokens[model]}


def rates_json(found: Mapping[str, Speed], rates: Rates) -> dict[str, Any]:
    """What a forecast says of the rates that it rests on."""
    return {
        model: {
            "origin": speed.origin,
            "batched": speed.batched,
            **(given_of(rates, model) if speed.origin == "given" else {"decode": 1 / speed.output}),
        }
        for model, speed in found.items()
    }

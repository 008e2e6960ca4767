"""How wrong an earlier forecast was: its figures against those of the days that came, each as a signed share.

error = (forecast − came) / came        +25 %: a quarter too much was foretold
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from penstock.operators.error import Rejected
from penstock.pipelines.backtest_forecast import FIGURES, SCHEMA

GROUPS = ("agents", "models")
IN_FLIGHT = ("mean", "p95", "max")


def load_forecast(path: Path) -> dict[str, Any]:
    """The `forecast.json` of a backtest. Raises Rejected for anything else."""
    remedy = "give --earlier the forecast.json that a former backtest wrote with --out"
    try:
        said = orjson.loads(path.read_bytes())
    except OSError as error:
        raise Rejected(f"cannot be read: {error.strerror}", where=str(path), remedy=remedy) from error
    except orjson.JSONDecodeError as error:
        raise Rejected(f"is no JSON: {error}", where=str(path), remedy=remedy) from error
    if not isinstance(said, dict) or said.get("schema") != SCHEMA:
        raise Rejected("is no forecast that this version can read", where=str(path), remedy=remedy)
    return said


def errors_of(earlier: Mapping[str, Any], came: Mapping[str, Any]) -> dict[str, Any]:
    """Per agent, model and in all, of what both know; `within`: what came lies in the range that was foretold."""
    return {
        "from": earlier["from"],
        "to": earlier["to"],
        "definition": earlier["definition"],
        **{
            group: {
                name: _errors(earlier[group][name], figures)
                for name, figures in came[group].items()
                if name in earlier[group]
            }
            for group in GROUPS
        },
        "all": _errors(earlier["all"], came["all"]),
    }


def _errors(earlier: Mapping[str, Any], came: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {"forecast": told, "came": now, "error": _error(told, now), "within": _within(low, high, now)}
        for (name, told, low, high), (_, now, _, _) in zip(_values(earlier), _values(came), strict=True)
        if told is not None and now is not None
    }


def _values(figures: Mapping[str, Any]) -> Iterator[tuple[str, float | None, float | None, float | None]]:
    """Name, value and range of each figure."""
    for name in FIGURES:
        said = figures[name]
        yield name, said["per_day"], said["low"], said["high"]
    flight = figures["in_flight"]
    for name in IN_FLIGHT:
        low, high = (flight["low"], flight["high"]) if name == "mean" else (None, None)
        yield f"in_flight_{name}", flight[name], low, high


def _error(told: float, came: float) -> float | None:
    """None where nothing came that it could be a share of."""
    if came == 0:
        return 0.0 if told == 0 else None
    return round((told - came) / came, 6)


def _within(low: float | None, high: float | None, came: float) -> bool | None:
    return None if low is None or high is None else low <= came <= high

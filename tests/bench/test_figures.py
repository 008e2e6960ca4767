"""Ratios are those of pairs, and a figure is met only where every target is."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tests.bench import peers, scale
from tests.bench.figure import Figure


def peer_round(ours: float, quix: float) -> dict[str, dict[str, Any]]:
    rates = {
        "count penstock": ours, "count quix": quix, "count faust": 1.0, "count bytewax": 50.0,
        "sum penstock": 90.0, "sum quix": 10.0, "sum bytewax": 30.0,
    }  # fmt: skip
    return {name: {"per_core": rate} for name, rate in rates.items()}


@pytest.mark.parametrize(("quix", "met"), [(20.0, True), (50.0, False)])
def test_peers_are_compared_within_a_round(quix: float, met: bool) -> None:
    figure = peers.figure([peer_round(100.0, quix), peer_round(200.0, 2 * quix), peer_round(50.0, quix / 2)], {})
    assert figure.detail["ratios"]["count quix"] == 100.0 / quix
    assert figure.detail["ratios"]["sum quix"] == 9.0
    assert figure.ok is met


def test_efficiency_is_the_speedup_per_process() -> None:
    rates = {"1": {"per_second": 100.0}, "2": {"per_second": 180.0}, "4": {"per_second": 200.0}}
    figure = scale.figure([rates])
    assert figure.detail["efficiency"] == {"1": 1.0, "2": 0.9, "4": 0.5}
    assert (figure.ratio, figure.ok) == (1.8, True)


def test_a_figure_is_a_line_of_json() -> None:
    line = Figure("x", 3.0, 2.0, "s", "< 4", ok=True, detail={"rounds": [1.23456]}).to_json()
    assert orjson.loads(line) == {
        "bench": "x", "core": "interpreted", "ours": 3.0, "other": 2.0, "ratio": 1.5, "unit": "s", "target": "< 4", "ok": True,
        "detail": {"rounds": [1.235]},
    }  # fmt: skip

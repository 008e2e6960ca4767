"""Distributions that are measured while working; everything else is counted elsewhere and read when somebody looks."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Histogram

COMMIT_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
CALL_BUCKETS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300)


class Meters:
    """The histograms of one process, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.commit_seconds = Histogram(
            "penstock_commit_seconds", "Time from the cut of a delta until its commit was decided.",
            buckets=COMMIT_BUCKETS, registry=self.registry,
        )  # fmt: skip
        self.call_seconds = Histogram(
            "penstock_model_call_seconds", "Time from the seat of a model call to its end, with its retries.", ["endpoint"],
            buckets=CALL_BUCKETS, registry=self.registry,
        )  # fmt: skip

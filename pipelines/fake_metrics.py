"""What the simulated server counts, under vLLM's metric names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from penstock.operators.prefix import PrefixCache

_TTFT_BUCKETS_S = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0)
_LABELS = ("model_name", "engine")


@dataclass(slots=True)
class Figures:
    """Counts since the start. `aborted` are those whose client went away: vLLM does not count these. `embedded`: texts."""

    finished: Counter[str] = field(default_factory=Counter)
    rejected: Counter[int] = field(default_factory=Counter)
    aborted: int = 0
    generated_tokens: int = 0
    embedded: int = 0
    ttft_buckets: Counter[float] = field(default_factory=Counter)
    ttft_sum: float = 0.0
    ttft_count: int = 0

    def first_token_after(self, seconds: float) -> None:
        self.ttft_sum += seconds
        self.ttft_count += 1
        self.ttft_buckets[next((bound for bound in _TTFT_BUCKETS_S if seconds <= bound), float("inf"))] += 1


@dataclass(frozen=True, slots=True, eq=False)
class _Snapshot(Collector):
    figures: Figures
    cache: PrefixCache
    running: int
    waiting: int
    model: str

    def collect(self) -> Iterator[Metric]:
        figures, labels = self.figures, (self.model, "0")
        yield _gauge("num_requests_running", "Requests that generate", self.running, labels)
        yield _gauge("num_requests_waiting", "Requests that wait for a seat", self.waiting, labels)
        yield _gauge("kv_cache_usage_perc", "Share of the blocks in use, 1 is full", self.cache.usage, labels)
        yield _counter("prefix_cache_queries", "Prompt tokens looked up", self.cache.queried_tokens, labels)
        yield _counter("prefix_cache_hits", "Prompt tokens found", self.cache.cached_tokens, labels)
        yield _counter("prompt_tokens", "Prompt tokens", self.cache.queried_tokens, labels)
        yield _counter("generation_tokens", "Generated tokens", figures.generated_tokens, labels)
        yield _counter("admission_rejections", "Requests answered with 503", figures.rejected[503], labels)
        finished = CounterMetricFamily(
            "vllm:request_success", "Finished requests", labels=(*_LABELS, "finished_reason")
        )
        for reason, count in figures.finished.items():
            finished.add_metric((*labels, reason), count)
        yield finished
        yield self._ttft(labels)

    def _ttft(self, labels: tuple[str, str]) -> HistogramMetricFamily:
        buckets, total = [], 0
        for bound in (*_TTFT_BUCKETS_S, float("inf")):
            total += self.figures.ttft_buckets[bound]
            buckets.append((str(bound) if bound != float("inf") else "+Inf", total))
        family = HistogramMetricFamily("vllm:time_to_first_token_seconds", "Time to the first token", labels=_LABELS)
        family.add_metric(labels, buckets, self.figures.ttft_sum)
        return family


def exposition(figures: Figures, cache: PrefixCache, *, running: int, waiting: int, model: str) -> bytes:
    """The metrics as Prometheus text."""
    registry = CollectorRegistry()
    registry.register(_Snapshot(figures, cache, running, waiting, model))
    return generate_latest(registry)


def _gauge(name: str, text: str, value: float, labels: tuple[str, str]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"vllm:{name}", text, labels=_LABELS)
    family.add_metric(labels, value)
    return family


def _counter(name: str, text: str, value: float, labels: tuple[str, str]) -> CounterMetricFamily:
    family = CounterMetricFamily(f"vllm:{name}", text, labels=_LABELS)
    family.add_metric(labels, value)
    return family

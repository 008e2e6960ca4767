"""What the inputs of a process tell about themselves in Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, Metric

from penstock.pipelines.inputs import Inputs

INPUT_COUNTED: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "records": ("Records that this process has written for a source that has an `input`.", ()),
    "duplicates": ("Records that were sent by POST and were there already.", ()),
    "refused": ("Requests that were not taken, by the status that they were answered with.", ("status",)),
    "reconnects": ("How often a stream of events was not there, or was cut.", ()),
    "reopened": ("How often an input was begun again because its log was lost.", ()),
}
"""`penstock_input_<name>_total{source=…}`: help, and what beside the source tells them apart."""


def input_counters(inputs: Inputs | None) -> Iterator[Metric]:
    """Nothing where there are none. What never happens with a kind of input is not there, what did not happen yet is 0."""
    if inputs is None:
        return
    for what, (text, labels) in INPUT_COUNTED.items():
        family = CounterMetricFamily(f"penstock_input_{what}", text, labels=["source", *labels])
        for feed in inputs.feeds:
            for (counted, *which), count in sorted(feed.counts.items()):
                if counted == what:
                    family.add_metric([feed.source.name, *which], count)
        yield family

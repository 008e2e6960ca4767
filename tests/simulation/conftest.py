"""The clusters that the conformance suite runs on."""

from __future__ import annotations

import pytest
from tests.kafka_cluster import Kafka
from tests.simulation.conformance import Run, run_real, run_simulated


@pytest.fixture(params=["simulated, version 1", "simulated, version 2", "real"])
def any_run(request: pytest.FixtureRequest) -> Run:
    if request.param == "real":
        cluster: Kafka = request.getfixturevalue("kafka_cluster")
        return run_real(cluster.bootstrap)
    return run_simulated(1 if request.param.endswith("1") else 2)

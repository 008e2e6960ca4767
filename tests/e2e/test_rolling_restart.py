"""Processes are replaced by plan while the ssh example is worked on: nobody is fenced.

That no model is asked twice, the fault tests show: here a busy machine may take longer than there is time for.
"""

from __future__ import annotations

import pytest
from tests.e2e.deployment import PARTITIONS, Deployment, undisturbed
from tests.e2e.processes import until
from tests.e2e.ssh_stream import generated, records
from tests.e2e.transport import Transport
from tests.e2e.trial import LOG_CHARACTERS_MAX, Trial, unique_name

from penstock.pipelines.torture_processes import Process, Workers

REPLACEMENTS = 3
SECONDS_MAX = 60.0
LOST = ("is not open", "ended without a last commit")
"""What a process says of a task that it did not hand over as planned."""


def opened(group: Workers, process: Process, count: int) -> None:
    """Waits until the process has opened so many tasks."""
    over = until(lambda: group.openings(process) >= count, SECONDS_MAX)
    assert over, group.log()[-LOG_CHARACTERS_MAX:]


@pytest.mark.parametrize("kind", ["sqlite", "kafka_transport"])
def test_a_rolling_restart_costs_no_fence(request: pytest.FixtureRequest, kind: str, quick_model: str) -> None:
    transport: Transport = request.getfixturevalue(kind)
    stream = records([*generated(3, 3, "eu-"), *generated(4, 3, "us-")])
    deployment = Deployment(unique_name("roll"), unique_name("auth"))
    trial = Trial(transport, deployment, undisturbed(deployment.source, stream))
    transport.create(deployment.source)
    with trial.workers(quick_model) as group:
        former = group.start()
        opened(group, former, PARTITIONS)
        for number in range(REPLACEMENTS):
            part = stream[number * len(stream) // REPLACEMENTS : (number + 1) * len(stream) // REPLACEMENTS]
            transport.produce(deployment.source, part[: len(part) // 2])
            latter = group.start()
            opened(group, latter, PARTITIONS // 2)
            transport.produce(deployment.source, part[len(part) // 2 :])
            group.dismiss(former)
            assert former.wait(SECONDS_MAX) == 0, group.log()[-LOG_CHARACTERS_MAX:]
            opened(group, latter, PARTITIONS)
            former = latter
        trial.wait_until_told(group, SECONDS_MAX)
        trial.stop(group)
        trial.check(group)
        log = group.log()
    assert not any(word in log for word in LOST), log[-LOG_CHARACTERS_MAX:]

"""A process that takes our tasks again and again is another deployment under our name: we stop, and say who it is."""

from __future__ import annotations

import re
import time

import pytest
from tests.e2e.deployment import PARTITIONS, Deployment
from tests.e2e.ssh_stream import break_ins, records
from tests.e2e.transport import Transport
from tests.e2e.trial import Trial, unique_name

EVENTS, PART, PART_SECONDS = 2000, 10, 0.2
HOSTS = ("eu-web-1", "eu-web-2", "eu-db-1")
"""One in each partition."""
REFUSED = 4
BOTH = re.compile(r"two processes run this pipeline and take it from each other: (\S+/\d+) and (\S+/\d+)")


@pytest.mark.parametrize("kind", ["sqlite", "kafka_transport"])
def test_whoever_is_fenced_by_the_same_other_again_and_again_stops_and_names_both(
    request: pytest.FixtureRequest, kind: str, quick_model: str
) -> None:
    transport: Transport = request.getfixturevalue(kind)
    trial = Trial(transport, Deployment(unique_name("twin"), unique_name("auth")), {})
    transport.create(trial.deployment.source)
    stream = records(break_ins(EVENTS, HOSTS))
    with trial.workers(quick_model) as group:
        other = group.start("--claim", str(PARTITIONS))
        ours = group.start()
        for number in range(0, EVENTS, PART):  # only who has something to commit finds out that it is fenced
            transport.produce(trial.deployment.source, stream[number : number + PART])
            time.sleep(PART_SECONDS)
            if ours.poll() is not None:
                break
        assert ours.returncode == REFUSED, group.log()
        assert other.poll() is None, "the one that fights for its tasks goes on"
        named = BOTH.search(group.log())
    assert named is not None
    assert {owner.rpartition("/")[2] for owner in named.groups()} == {str(ours.pid), str(other.pid)}

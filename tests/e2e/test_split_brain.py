"""Three Kafka workers each believe that every partition is theirs, and take it back when they are fenced.

The fence alone decides then, and it has to be enough. The negative control shows that this schedule finds out a worker
that reads its log before the fence stands: the order of these two steps is what exactly-once rests on (protocol rule 1).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

import pytest
from tests.e2e.deployment import PARTITIONS, Deployment, undisturbed
from tests.e2e.ssh_stream import Written, break_ins, generated, records
from tests.e2e.transport import KafkaTransport
from tests.e2e.trial import Trial, unique_name

BELIEVERS = 3
PARTS = 8
PART_SECONDS = 2.5
SECONDS_MAX = 60.0
CONTROLS_MAX = 12
CLAIM = ("--claim", str(PARTITIONS))


@pytest.fixture(scope="module")
def stream() -> list[Written]:
    """Something to be decided in every partition at any time."""
    return records([*generated(3, 1, "eu-"), *break_ins(1800, ["eu-web-1", "eu-web-2", "eu-db-1"])])


def trial_of(kafka: KafkaTransport, stream: Sequence[Written]) -> Trial:
    source, session = unique_name("auth"), kafka.session_timeout()
    kafka.create(source)
    deployment = Deployment(unique_name("split"), source, (f"kafka.session_timeout={session}ms",))
    return Trial(kafka, deployment, undisturbed(source, stream))


def produced(kafka: KafkaTransport, trial: Trial, stream: Sequence[Written]) -> Iterator[None]:
    """Steadily, so that there is something to commit at any time; yields after every part."""
    for number in range(PARTS):
        part = stream[number * len(stream) // PARTS : (number + 1) * len(stream) // PARTS]
        kafka.produce(trial.deployment.source, part, PART_SECONDS)
        yield


def test_of_three_workers_that_all_fight_for_every_task_nothing_is_seen(
    kafka_transport: KafkaTransport, stream: Sequence[Written], quick_model: str
) -> None:
    trial = trial_of(kafka_transport, stream)
    with trial.workers(quick_model, *CLAIM) as group:
        believers = [group.start() for _ in range(BELIEVERS)]
        for _ in produced(kafka_transport, trial, stream):
            trial.check_alive(group)
            assert trial.ledger().contradictions(trial.expected) == []
        Random(3).shuffle(believers)
        for loser in believers[1:]:
            group.kill(loser)
        trial.wait_until_told(group, SECONDS_MAX)
        trial.stop(group)
        trial.check(group)
        log = group.log()
    fences = log.count("somebody opened the task after us")
    assert fences > PARTITIONS * BELIEVERS, f"only {fences} fences: they did not fight"
    assert "never retrieved" not in log, "a fence is a sentence, and no traceback"


def test_workers_that_read_before_they_fence_are_found_out(
    kafka_transport: KafkaTransport, stream: Sequence[Written], quick_model: str
) -> None:
    found = (_found_out(kafka_transport, stream, quick_model) for _ in range(CONTROLS_MAX))
    assert any(found)


def _found_out(kafka: KafkaTransport, stream: Sequence[Written], model: str) -> list[str]:
    """What lies wrong on the topics, at any time of the fight."""
    trial = trial_of(kafka, stream)
    with trial.workers(model, *CLAIM, "--unsafe-read-before-fence") as group:
        for _ in range(BELIEVERS):
            group.start()
        for _ in produced(kafka, trial, stream):
            if found := trial.ledger().contradictions(trial.expected):
                return found
            if not group.running:
                break
    return []

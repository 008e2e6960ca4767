"""Whatever a flow calls a record becomes one, and goes to the task that has its key."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.flows import EVENTS, TWO_SOURCES, plan_of

from penstock.connectors.bytewax_records import Routing
from penstock.operators.error import Misused
from penstock.operators.record import Record

NOW = 1_795_166_047_000
LINE = b'{"host":"a","n":1,"ts":1795166047000}'


@dataclass
class KafkaMessage:
    """As Bytewax's."""

    topic: str | None = "auth"
    key: Any = b"k"
    value: Any = LINE
    headers: list[tuple[str, bytes]] = field(default_factory=list)
    timestamp: Any = (1, 7)


def routed(folder: Path, *items: Any, partitions: int = 1, text: str | None = None) -> list[tuple[str, Record]]:
    plan = plan_of(folder) if text is None else plan_of(folder, text)
    return list(Routing(plan, partitions, lambda: NOW)(items))


@pytest.mark.parametrize(
    "item", [LINE, LINE.decode(), orjson.loads(LINE), ("auth", LINE), ("auth", orjson.loads(LINE))]
)
def test_a_value_is_a_record_that_came_just_now(tmp_path: Path, item: Any) -> None:
    assert routed(tmp_path, item) == [("0", Record("auth", 0, 0, NOW, None, LINE))]


def test_a_message_of_kafka_keeps_its_key_its_time_and_its_headers(tmp_path: Path) -> None:
    message = KafkaMessage(headers=[("trace", b"1")])
    assert routed(tmp_path, message) == [("0", Record("auth", 0, 0, 7, b"k", LINE, (("trace", b"1"),)))]


@pytest.mark.parametrize(("timestamp", "at"), [(None, NOW), (9, 9), ((0, 0), 0)])
def test_a_message_has_the_time_that_it_says(tmp_path: Path, timestamp: Any, at: int) -> None:
    assert routed(tmp_path, KafkaMessage(timestamp=timestamp))[0][1].timestamp == at


def test_a_message_without_a_topic_is_of_the_only_source(tmp_path: Path) -> None:
    assert routed(tmp_path, KafkaMessage(topic=None))[0][1].topic == "auth"


def test_a_value_that_is_missing_is_one_that_is_missing(tmp_path: Path) -> None:
    assert routed(tmp_path, None)[0][1].value is None


def test_a_key_has_one_task_whatever_its_source(tmp_path: Path) -> None:
    items = [(name, event) for event in EVENTS for name in ("auth", "flow")]
    found = routed(tmp_path, *items, partitions=3, text=TWO_SOURCES)
    owners: dict[str, set[str]] = {}
    for name, record in found:
        assert str(record.partition) == name
        owners.setdefault(orjson.loads(record.value or b"")["host"], set()).add(name)
    assert all(len(names) == 1 for names in owners.values())
    assert len(set.union(*owners.values())) > 1


def test_what_has_no_key_is_the_first_task_s(tmp_path: Path) -> None:
    assert [name for name, _ in routed(tmp_path, b"{", None, b'{"n": 1}', partitions=5)] == ["0", "0", "0"]


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (17, "it is of type int"),
        (("sshd", LINE), "there is no source 'sshd'.*name one of: auth, flow; of a keyed stream give the values"),
        (KafkaMessage(topic="other"), "there is no source with the topic 'other'.*name one of: auth, flow"),
        (LINE, "whose is it.*sources: auth, flow"),
        (("auth", {"at": object()}), "it cannot be written as JSON"),
    ],
)
def test_what_is_no_record_is_refused_in_a_sentence(tmp_path: Path, item: Any, said: str) -> None:
    with pytest.raises(Misused, match=said):
        routed(tmp_path, item, text=TWO_SOURCES)

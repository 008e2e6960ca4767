"""Topics as producers compress them: every codec of Kafka, one after the other in the same partitions."""

from __future__ import annotations

import json
from pathlib import Path

from confluent_kafka import Producer
from tests.command_line import written
from tests.e2e.processes import penstock
from tests.e2e.transport import KafkaTransport
from tests.e2e.trial import unique_name

FILE = """
penstock: v1
name: codecs
sources:
  logs: {topic: any, key: event.host}
triggers:
  bad: {each: event.bad, agent: none, cooldown: 0s}
outputs: {results: any-results, dead: any-dead}
"""
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
COUNT = 50
"""Of each codec: enough that librdkafka finds them worth compressing."""


def test_records_of_every_codec_are_read(kafka_transport: KafkaTransport, tmp_path: Path) -> None:
    name, file = unique_name("codecs"), str(written(tmp_path, FILE))
    kafka_transport.create(name)
    for codec in CODECS:
        produce(kafka_transport.bootstrap, name, codec)
    sets = (f"namespace={name}", f"sources.logs.topic={name}", f"outputs.results={name}.results", *kafka_transport.sets)
    options = [argument for each in sets for argument in ("--set", each)]
    done = penstock("run", file, "--broker", kafka_transport.broker, "--until-idle", "2", *options)
    assert done.returncode == 0, done.stderr
    told = [json.loads(result.value or b"")["key"] for result in kafka_transport.read(f"{name}.results")]
    assert sorted(told) == sorted(f"{codec}-{number}" for codec in CODECS for number in range(COUNT))


def produce(bootstrap: str, topic: str, codec: str) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "compression.type": codec, "linger.ms": 200})
    for number in range(COUNT):
        producer.produce(topic, json.dumps({"host": f"{codec}-{number}", "bad": True, "line": "x" * 200}).encode())
    assert producer.flush(20) == 0

"""Getting in: every way in that we offer works, and what stands in the way is said in one sentence."""

from __future__ import annotations

import pytest
from tests.kafka_cluster import SASL_PASSWORD, SASL_USER, Kafka
from tests.kafka_world import KafkaWorld

from penstock.connectors.kafka import KafkaBroker
from penstock.connectors.kafka_settings import KafkaSettings, PasswordSettings
from penstock.operators.error import Unreachable
from penstock.operators.tls import TlsSettings
from penstock.pipelines.torture_kafka import free_ports

pytestmark = pytest.mark.timeout(60)


def listener(kafka: Kafka, name: str) -> str:
    if name not in kafka.secured:
        pytest.skip(f"this Kafka has no listener with {name}")
    return kafka.secured[name]


def sasl(mechanism: str, password: str = SASL_PASSWORD) -> PasswordSettings:
    return PasswordSettings.model_validate({"mechanism": mechanism, "username": SASL_USER, "password": password})


async def why_not(kafka: KafkaWorld, settings: KafkaSettings) -> str:
    broker = KafkaBroker(kafka.layout(), settings)
    kafka.brokers.append(broker)
    with pytest.raises(Unreachable) as refused:
        await broker.start()
    return str(refused.value)


async def test_a_closed_port_is_named(kafka: KafkaWorld) -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    assert await why_not(kafka, KafkaSettings(bootstrap=address)) == (
        f"kafka {address}: no broker answers (Connect call failed ('127.0.0.1', {address[10:]})) "
        "(is it up, and is PLAINTEXT what this port speaks?)"
    )


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
async def test_a_broker_is_reached_with_sasl(kafka: KafkaWorld, mechanism: str) -> None:
    await kafka.create()
    address = listener(kafka.cluster, "SASL")
    broker = KafkaBroker(kafka.layout(), KafkaSettings(bootstrap=address, sasl=sasl(mechanism)))
    kafka.brokers.append(broker)
    await broker.start()
    assert broker.created


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
async def test_wrong_credentials_are_called_so(kafka: KafkaWorld, mechanism: str) -> None:
    settings = KafkaSettings(bootstrap=listener(kafka.cluster, "SASL"), sasl=sasl(mechanism, "wrong"))
    assert "do not accept these credentials (check kafka.sasl)" in await why_not(kafka, settings)


async def test_a_mechanism_that_is_not_offered_is_called_so(kafka: KafkaWorld) -> None:
    settings = KafkaSettings(bootstrap=listener(kafka.cluster, "SASL"), sasl=sasl("SCRAM-SHA-256"))
    assert "the brokers do not offer SCRAM-SHA-256" in await why_not(kafka, settings)


async def test_a_port_that_wants_credentials_is_recognised(kafka: KafkaWorld) -> None:
    settings = KafkaSettings(bootstrap=listener(kafka.cluster, "SASL"))
    assert "is PLAINTEXT what this port speaks?" in await why_not(kafka, settings)


async def test_a_broker_is_reached_with_tls(kafka: KafkaWorld) -> None:
    await kafka.create()
    address = listener(kafka.cluster, "TLS")
    broker = KafkaBroker(
        kafka.layout(), KafkaSettings(bootstrap=address, tls=TlsSettings(ca=str(kafka.cluster.certificate)))
    )
    kafka.brokers.append(broker)
    await broker.start()
    assert broker.created


async def test_a_certificate_that_leads_nowhere_is_refused(kafka: KafkaWorld) -> None:
    settings = KafkaSettings(bootstrap=listener(kafka.cluster, "TLS"), tls=True)
    assert "TLS failed (CERTIFICATE_VERIFY_FAILED)" in await why_not(kafka, settings)


async def test_inputs_whose_writers_disagree_about_partitions_are_refused(kafka: KafkaWorld) -> None:
    from zlib import crc32

    java, librdkafka = await kafka.create("java", 3), await kafka.create("librdkafka", 3)
    keys = [f"key-{i}".encode() for i in range(20)]
    broker = await kafka.broker(kafka.layout("java"))
    for key in keys:
        await broker.produce(java, key, b"v")
        await kafka.write(librdkafka, b"v", key=key, partition=crc32(key) % 3)
    with pytest.raises(Unreachable, match=f"{java} is partitioned by murmur2, but {librdkafka} by CRC32"):
        await kafka.broker(kafka.layout("java", "librdkafka"))


async def test_keys_that_fit_no_partitioner_are_worth_a_warning(kafka: KafkaWorld) -> None:
    topic = await kafka.create(partitions=3)
    await kafka.write(topic, b"v", key=b"a", partition=0)
    await kafka.write(topic, b"v", key=b"a", partition=1)
    broker = await kafka.broker()
    assert len(broker.warnings) == 1
    assert f"the keys of {topic} are partitioned neither" in broker.warnings[0]


async def test_a_start_that_failed_can_be_tried_again(kafka: KafkaWorld) -> None:
    broker = KafkaBroker(kafka.layout(), kafka.settings)
    kafka.brokers.append(broker)
    with pytest.raises(Unreachable):
        await broker.start()
    await kafka.create()
    await broker.start()
    await broker.produce(kafka.topic(), b"k", b"v")
    assert await kafka.committed(kafka.topic()) == [b"v"]


async def test_reading_a_topic_that_is_not_there_says_so_and_creates_nothing(kafka: KafkaWorld) -> None:
    await kafka.create()
    broker = await kafka.broker()
    for _ in range(2):
        with pytest.raises(Unreachable, match="topic gone does not exist"):
            await anext(broker.read("gone", 0, 0))
        with pytest.raises(Unreachable, match="topic gone does not exist"):
            await anext(broker.follow("gone"))

"""What Kafka's errors mean to a person."""

from __future__ import annotations

from aiokafka.errors import InvalidProducerIdMapping, InvalidTxnState

from penstock.connectors.kafka_error import FORGOTTEN, cause


def test_a_transactional_id_that_has_expired_is_named_with_the_setting_that_says_when() -> None:
    assert cause(InvalidProducerIdMapping()) == FORGOTTEN
    assert "transactional.id.expiration.ms" in FORGOTTEN


def test_anything_else_is_told_as_the_client_says_it() -> None:
    assert cause(InvalidTxnState()) == repr(InvalidTxnState())

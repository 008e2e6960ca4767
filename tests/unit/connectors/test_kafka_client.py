"""What an error of a Kafka client means: somebody who may come, or something that has to be mended."""

from __future__ import annotations

import ssl
from socket import gaierror

import pytest
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaTimeoutError,
    NodeNotReadyError,
    RequestTimedOutError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from penstock.connectors.kafka_client import KafkaClients
from penstock.connectors.kafka_error import Stalled
from penstock.connectors.kafka_settings import KafkaSettings
from penstock.operators.error import Unanswered, Unreachable


def untrusted() -> ssl.SSLError:
    error = ssl.SSLError(1, "certificate verify failed")
    error.reason = "CERTIFICATE_VERIFY_FAILED"
    return error


CLIENTS = KafkaClients(KafkaSettings(bootstrap="127.0.0.1:1"), "test")


@pytest.mark.parametrize(
    "error",
    [
        KafkaConnectionError(), NodeNotReadyError(), RequestTimedOutError(), KafkaTimeoutError(), TimeoutError(),
        ConnectionRefusedError(111, "Connection refused"), gaierror(-2, "Name or service not known"),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_nobody_answers(error: Exception) -> None:
    told = CLIENTS.unreachable(error)
    assert isinstance(told, Unanswered)
    assert "no broker answers" in str(told)


@pytest.mark.parametrize(
    "error",
    [
        untrusted(), SaslAuthenticationFailed(), TopicAuthorizationFailedError("auth"),
        UnknownTopicOrPartitionError(), Stalled("auth/0", 3, 5), ValueError("odd"),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_somebody_answers_and_waiting_for_them_does_not_help(error: Exception) -> None:
    assert type(CLIENTS.unreachable(error)) is Unreachable

"""What of a transaction was sent again without an answer, as its sender's requests pass by."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, NodeNotReadyError, RequestTimedOutError
from aiokafka.protocol.transaction import AddPartitionsToTxnRequest, EndTxnRequest, InitProducerIdRequest
from aiokafka.structs import TopicPartition

from penstock.connectors.kafka_aiokafka_producer import CountedRequests

END = EndTxnRequest("id", 1, 0, True)
ADD = AddPartitionsToTxnRequest("id", 1, 0, [("log", [0])])
INIT = InitProducerIdRequest("id", 10_000)
LOST = KafkaConnectionError("cut")
ANSWER = TopicPartition("any", 0)
"""What an answer says makes no difference here."""


async def resent(*happens: tuple[Any, Exception | None]) -> int:
    """Requests in their order, and what became of each: None is an answer, whatever it says."""
    outcomes = iter(outcome for _, outcome in happens)

    async def send(node_id: int, request: Any, *, group: Any) -> object:
        outcome = next(outcomes)
        if outcome is not None:
            raise outcome
        return ANSWER

    requests = CountedRequests(send)
    for request, outcome in happens:
        if outcome is None:
            assert await requests.send(1, request) is ANSWER
        else:
            with pytest.raises(type(outcome)):
                await requests.send(1, request)
    return requests.resent


@pytest.mark.parametrize("request_", [END, ADD])
@pytest.mark.parametrize("lost", [LOST, RequestTimedOutError()])
async def test_a_request_without_an_answer_counts_when_it_is_sent_again(request_: Any, lost: Exception) -> None:
    assert await resent((request_, lost)) == 0
    assert await resent((request_, lost), (request_, None)) == 1
    assert await resent((request_, lost), (request_, lost), (request_, None)) == 2


async def test_a_request_that_was_answered_not_yet_leaves_no_copy_behind() -> None:
    assert await resent((ADD, None), (ADD, None), (END, None), (END, None)) == 0


async def test_a_request_that_never_left_is_not_sent_again() -> None:
    assert await resent((END, NodeNotReadyError()), (END, None)) == 0
    assert await resent((END, LOST), (END, NodeNotReadyError()), (END, None)) == 1


async def test_each_kind_of_request_counts_for_itself() -> None:
    assert await resent((ADD, LOST), (END, None)) == 0
    assert await resent((ADD, LOST), (ADD, None), (END, LOST), (END, None)) == 2


async def test_what_fences_and_what_writes_is_not_counted() -> None:
    assert await resent((INIT, LOST), (INIT, None)) == 0


async def test_a_transaction_that_begins_has_sent_nothing_again() -> None:
    async def send(node_id: int, request: Any, *, group: Any) -> object:
        raise LOST

    requests = CountedRequests(send)
    for _ in range(2):
        with pytest.raises(KafkaConnectionError):
            await requests.send(1, END)
    assert requests.resent == 1
    requests.begin()
    assert requests.resent == 0
    with pytest.raises(KafkaConnectionError):
        await requests.send(1, END)
    assert requests.resent == 0

"""What Kafka's errors mean to a person: one sentence, and what to do."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable
from typing import TypeVar

from aiokafka.errors import (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    InvalidProducerIdMapping,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    NodeNotReadyError,
    RequestTimedOutError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnknownTopicOrPartitionError,
    UnsupportedSaslMechanismError,
)

from penstock.connectors.kafka_port import Clients
from penstock.operators.error import Unanswered, Unreachable

REACH_SECONDS = 30.0
"""A predecessor's transaction may have to be aborted, or a coordinator found, before the fence stands."""

FORGOTTEN = (
    "the brokers have forgotten the transactional id of this task: it was not used for `transactional.id.expiration.ms`, "
    "a week by default"
)

_T = TypeVar("_T")
_DENIED = (GroupAuthorizationFailedError, TopicAuthorizationFailedError, TransactionalIdAuthorizationFailed)
_BAD_CREDENTIALS = (AuthenticationFailedError, SaslAuthenticationFailed)
_BAD_MECHANISM = (AuthenticationMethodNotSupported, UnsupportedSaslMechanismError, IllegalSaslStateError)
_AWAY = (KafkaConnectionError, NodeNotReadyError, RequestTimedOutError, KafkaTimeoutError, TimeoutError)


class Stalled(TimeoutError):
    """A partition was read up to `position` and does not move on, although it goes to `end`."""

    def __init__(self, where: str, position: int, end: int) -> None:
        super().__init__(f"{where} stands still at {position} of {end}")


def cause(error: BaseException) -> str:
    """What has ended a transaction, in brackets behind what that means."""
    return FORGOTTEN if isinstance(error, InvalidProducerIdMapping) else repr(error)


async def reached(clients: Clients, doing: Awaitable[_T], what: str) -> _T:
    """The result; what the cluster says against it, and that it says nothing for too long, becomes Unreachable."""
    try:
        async with asyncio.timeout(REACH_SECONDS):
            return await doing
    except (KafkaError, TimeoutError, OSError) as error:
        raise clients.unreachable(error, what) from error


def unreachable(
    error: BaseException, doing: str, address: str, *, protocol: str = "PLAINTEXT", mechanism: str = ""
) -> Unreachable:
    """`protocol` and `mechanism`: how we tried to get in. Unanswered where it is only that no broker answers."""
    what, remedy = _explained(error, doing, protocol, mechanism)
    kind = Unanswered if _nobody_answers(error) else Unreachable
    return kind(what, where=f"kafka {address}", remedy=remedy)


def _nobody_answers(error: BaseException) -> bool:
    return isinstance(error, (*_AWAY, OSError)) and not isinstance(error, (ssl.SSLError, Stalled))


def _explained(error: BaseException, doing: str, protocol: str, mechanism: str) -> tuple[str, str]:
    match error:
        case ssl.SSLError():
            return f"TLS failed ({error.reason or error})", "check kafka.tls, and that this is the brokers' TLS port"
        case _ if isinstance(error, _BAD_CREDENTIALS):
            return "the brokers do not accept these credentials", "check kafka.sasl"
        case _ if isinstance(error, _BAD_MECHANISM):
            return f"the brokers do not offer {mechanism}", "check kafka.sasl.mechanism"
        case _ if isinstance(error, _DENIED):
            return f"not allowed: {_permission(error)}", "grant it to this principal"
        case Stalled():
            return f"{error}: a transaction is open there, or hangs", "kafka-transactions.sh find-hanging shows it"
        case UnknownTopicOrPartitionError():
            return f"a topic is missing while {doing}", "`penstock topics plan` shows which"
        case _ if isinstance(error, _AWAY):
            return f"no broker answers while {doing}", f"is it up, and is {protocol} what this port speaks?"
        case OSError():
            reason = error.strerror or type(error).__name__
            return f"no broker answers ({reason})", f"is it up, and is {protocol} what this port speaks?"
        case _:
            return f"{doing} failed ({type(error).__name__}: {error})", "the brokers' logs may say more"


def _permission(error: BaseException) -> str:
    subject = ", ".join(str(each) for each in error.args) or "?"
    match error:
        case GroupAuthorizationFailedError():
            return f"reading group {subject}"
        case TransactionalIdAuthorizationFailed():
            return f"writing with transactional id {subject}"
        case _:
            return f"topic {subject}"

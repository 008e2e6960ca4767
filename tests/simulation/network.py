"""Requests on their way from a process to a broker and back: they take time, get lost, are held up and arrive late.

    process ──── request ────▶ broker ──── answer ────▶ process
                  │ lost         │ handled, and the answer lost
                  │ late: the connection breaks, the client asks again, and then the first copy arrives after all

Connections are TCP: in order, and never twice. So the only way to a duplicate is a connection that breaks while a request is
under way; clients repeat what was not answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from random import Random
from typing import Any, Literal

import msgspec
from aiokafka.errors import KafkaConnectionError, NodeNotReadyError, RequestTimedOutError
from aiokafka.structs import TopicPartition
from tests.simulation import messages as m
from tests.simulation.cluster import Cluster
from tests.simulation.groups import Later
from tests.simulation.loop import OUTSIDE, Process, SimulatedLoop, this_process
from tests.simulation.settings import Delays

REQUEST_SECONDS = 10.0
Way = Literal["out", "in"]
"""From a process to a broker, and back."""
Trace = Callable[[float, str, Any], None]


@dataclass(slots=True)
class Chances:
    """How often, of all requests, what goes wrong. `lost`: it never arrives. `unheard`: it is handled, but the answer is lost.
    `late`: it arrives after the client gave it up. `only` names the kinds of requests that this is about; empty: all.
    """

    lost: float = 0.0
    unheard: float = 0.0
    late: float = 0.0
    only: frozenset[type[m.Message]] = field(default_factory=frozenset)


class _Connection:
    """One of a client to a broker. `made`: somebody answered there. `open` calls wait for their answers, in order."""

    __slots__ = ("arrived_at", "broken", "broker", "made", "open", "process")

    def __init__(self, process: Process, broker: int, made: bool) -> None:
        self.process, self.broker, self.made = process, broker, made
        self.open: dict[_Call, None] = {}
        self.arrived_at = 0.0
        self.broken = False


class _Call(msgspec.Struct, eq=False):
    """A request under way, or its answer. `unheard`: the answer will be lost."""

    connection: _Connection
    request: m.Message
    future: asyncio.Future[Any]
    sent_at: float
    unheard: bool = False


class Network:
    """Between all processes and all brokers of one loop. It owns the cluster's time, too.

    `chances` may be changed while it runs. `doomed`: kinds of requests of which the next answer is lost, once each.
    `trace` sees every request and answer, with the time.
    """

    def __init__(self, loop: SimulatedLoop, cluster: Cluster, random: Random, delays: Delays | None = None) -> None:
        self.loop, self.cluster = loop, cluster
        self.chances: Chances | None = None
        self.doomed: list[type[m.Message]] = []
        self.trace: Trace | None = None
        self.random, self._delays = random, delays or Delays()
        self._hop = self._delays.hop.drawer(random)
        self._connections: dict[int, dict[_Connection, None]] = {broker: {} for broker in cluster.topics.brokers}
        self._held: dict[tuple[str, int, Way], list[Callable[[], None]]] = {}
        self._silent: dict[int, None] = {}
        self._alarm_at = inf

    def link(self) -> Link:
        """For one client of the running process."""
        return Link(self, this_process())

    # From a process to a broker.

    def connect(self, process: Process, broker: int) -> _Connection:
        """Whether that works shows when something is sent."""
        made = broker not in self.cluster.lost and not self._is_blocked(process, broker)
        connection = _Connection(process, broker, made)
        connection.arrived_at = self.loop.time() + self._hop()
        self._connections[broker][connection] = None
        return connection

    def send(self, connection: _Connection, request: m.Message) -> asyncio.Future[Any]:
        """Its answer. Fails with NodeNotReadyError, KafkaConnectionError, RequestTimedOutError."""
        now, future = self.loop.time(), self.loop.create_future()
        process = connection.process
        if process.killed:
            return future
        if self.trace is not None:
            self.trace(now, f"{process.name} to {connection.broker}", request)
        call = _Call(connection, request, future, now)
        connection.open[call] = None
        if not connection.made:
            self._refuse(call, now)
            return future
        if self.doomed and type(request) in self.doomed:
            self.doomed.remove(type(request))
            call.unheard = True
        arrives = max(connection.arrived_at, now + self._hop())
        if self.chances is None or self._is_lucky(self.chances, call, arrives):
            connection.arrived_at = arrives
            self.loop.call_at(arrives, self._arrive, call, context=OUTSIDE.context)
        return future

    def _is_blocked(self, process: Process, broker: int) -> bool:
        return bool(self._held) and any((process.name, broker, way) in self._held for way in ("out", "in"))

    def _refuse(self, call: _Call, now: float) -> None:
        """There is no connection: nothing leaves."""
        connection = call.connection
        is_down = connection.broker in self.cluster.lost and connection.broker not in self._silent
        wait = self._hop() if is_down else REQUEST_SECONDS
        self.loop.call_at(now + wait, self.break_connection, connection, context=connection.process.context)

    def _is_lucky(self, chances: Chances, call: _Call, arrives: float) -> bool:
        """It arrives at its time."""
        if chances.only and type(call.request) not in chances.only:
            return True
        chance = self.random.random()
        if chance < chances.unheard:
            call.unheard = True
            return True
        if chance >= chances.unheard + chances.lost + chances.late:
            return True
        self._break_at(arrives, call.connection)
        if chance < chances.unheard + chances.late:
            late = arrives + self._delays.late.draw(self.random)
            self.loop.call_at(late, self._arrive, call, context=OUTSIDE.context)
        return False

    def _arrive(self, call: _Call) -> None:
        connection, now = call.connection, self.loop.time()
        broker, cluster = connection.broker, self.cluster
        if self._held and self._hold("out", call, lambda: self._arrive(call)):
            return
        if broker in cluster.lost:
            if broker in self._silent:
                self._expect_time_out(call)
            else:
                self._break_at(now + self._hop(), connection)
            return
        if cluster.next_alarm <= now:
            cluster.advance(now)
        answer = cluster.handle(broker, call.request, now)
        if isinstance(answer, Later):
            answer.call = call
            if not isinstance(call.request, m.Fetch):
                self._expect_time_out(call)
        else:
            self._send_back(call, answer, now)
        if cluster.answered or cluster.next_alarm < self._alarm_at:
            self._look_at_cluster(now)

    def _look_at_cluster(self, now: float) -> None:
        """What the brokers have answered besides is sent, and their next alarm is set."""
        cluster = self.cluster
        if cluster.answered:
            answered = cluster.answered[:]
            cluster.answered.clear()
            for later in answered:
                if later.call is not None and later.answer is not None:
                    self._send_back(later.call, later.answer, now)
        if cluster.next_alarm < self._alarm_at:
            self._alarm_at = cluster.next_alarm
            self.loop.call_at(self._alarm_at, self._ring, self._alarm_at, context=OUTSIDE.context)

    def _ring(self, alarm: float) -> None:
        if alarm == self._alarm_at:
            self._alarm_at, now = inf, self.loop.time()
            self.cluster.advance(now)
            self._look_at_cluster(now)

    # And back.

    def _send_back(self, call: Any, answer: m.Message, now: float) -> None:
        connection = call.connection
        arrives = now + self._hop()
        if call.unheard:
            self._break_at(arrives, connection)
        elif not connection.broken:
            self.loop.call_at(arrives, self._deliver, call, answer, context=connection.process.context)

    def _deliver(self, call: _Call, answer: m.Message) -> None:
        connection = call.connection
        if self._held and self._hold("in", call, lambda: self._deliver(call, answer)):
            return
        if call not in connection.open:
            return
        now = self.loop.time()
        if now - call.sent_at >= REQUEST_SECONDS:  # the process was stopped: its time-outs come first when it goes on
            self._time_out(call)
            return
        del connection.open[call]
        if self.trace is not None:
            self.trace(now, f"{connection.process.name} from {connection.broker}", answer)
        if not call.future.done():
            call.future.set_result(answer)

    def _expect_time_out(self, call: _Call) -> None:
        when = call.sent_at + REQUEST_SECONDS
        self.loop.call_at(when, self._time_out, call, context=call.connection.process.context)

    def _time_out(self, call: _Call) -> None:
        """As aiokafka does it: the connection is closed, and everything else on it fails."""
        if call in call.connection.open:
            del call.connection.open[call]
            if not call.future.done():
                call.future.set_exception(RequestTimedOutError())
            self.break_connection(call.connection)

    def write(self, partition: TopicPartition, records: Sequence[m.Sent]) -> int:
        """Records that somebody else has written, past all that may go wrong on the way; the offset of the first."""
        now = self.loop.time()
        offset = self.cluster.write(partition, records, now)
        self._look_at_cluster(now)
        return offset

    # What goes wrong.

    def break_connection(self, connection: _Connection) -> None:
        """Everything that waits on it fails. What is under way to the broker may arrive nevertheless."""
        if connection.broken:
            return
        connection.broken = True
        del self._connections[connection.broker][connection]
        kind = KafkaConnectionError if connection.made else NodeNotReadyError
        calls, connection.open = connection.open, {}
        for call in calls:
            if not call.future.done():
                call.future.set_exception(kind(f"broker {connection.broker}"))

    def _break_at(self, when: float, connection: _Connection) -> None:
        self.loop.call_at(when, self.break_connection, connection, context=connection.process.context)

    def crash(self, broker: int) -> None:
        """Its connections break, and there are no new ones."""
        now = self.loop.time()
        self.cluster.lose(broker, now)
        self._silent.pop(broker, None)
        self._break_all(broker, now)

    def _break_all(self, broker: int, now: float) -> None:
        for connection in list(self._connections[broker]):
            self._break_at(now + self._hop(), connection)

    def cut_off(self, broker: int) -> None:
        """Nobody hears of it any more, and nobody is told."""
        self.cluster.lose(broker, self.loop.time())
        self._silent[broker] = None
        self._look_at_cluster(self.loop.time())

    def restore(self, broker: int) -> None:
        """It is there again, after a crash or a cut."""
        now = self.loop.time()
        restarted = broker not in self._silent
        self._silent.pop(broker, None)
        self.cluster.regain(broker, now, restarted=restarted)
        self._look_at_cluster(now)

    def lose_power(self) -> None:
        """All brokers at once; what was in their memory only is gone. Each has to be restored."""
        now = self.loop.time()
        self.cluster.lose_power(now)
        self._silent.clear()
        for broker in self._connections:
            self._break_all(broker, now)

    def block(self, process: Process, broker: int, way: Way) -> None:
        """What is sent this way waits; after `unblock` it arrives, also what its sender has given up meanwhile."""
        self._held.setdefault((process.name, broker, way), [])

    def unblock(self, process: Process, broker: int, way: Way) -> None:
        for arrive in self._held.pop((process.name, broker, way), ()):
            self.loop.call_soon(arrive, context=(OUTSIDE if way == "out" else process).context)

    def _hold(self, way: Way, call: _Call, go_on: Callable[[], None]) -> bool:
        held = self._held.get((call.connection.process.name, call.connection.broker, way))
        if held is None:
            return False
        held.append(go_on)
        self._expect_time_out(call)
        return True


class Link:
    """The connections of one client, one per broker and `lane`. What waits on them fails when it is closed."""

    def __init__(self, network: Network, process: Process) -> None:
        self._network, self._process = network, process
        self._connections: dict[tuple[int, str], _Connection] = {}
        self._closed = False

    def ask(self, broker: int, request: m.Message, lane: str = "") -> asyncio.Future[Any]:
        """Its answer. Fails with NodeNotReadyError if it never left, with KafkaConnectionError, RequestTimedOutError."""
        if self._closed:
            raise NodeNotReadyError("the client is closed")
        connection = self._connections.get((broker, lane))
        if connection is None or connection.broken:
            connection = self._connections[broker, lane] = self._network.connect(self._process, broker)
        return self._network.send(connection, request)

    def close(self) -> None:
        self._closed = True
        for connection in self._connections.values():
            self._network.break_connection(connection)

"""A way to a Kafka broker that loses one answer: between a client and the broker stands a proxy that cuts the connection.

Kafka tells clients where its brokers are, so answers are rewritten: whoever came through the proxy stays on it.
"""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

ADD_PARTITIONS_TO_TXN, END_TXN = 24, 26
API_KEY, CORRELATION = struct.Struct(">h"), struct.Struct(">i")


@dataclass
class Cut:
    """`lose`: kinds of requests (Kafka's API keys) of which the next answer is lost, once each."""

    broker: str
    bootstrap: str = ""
    lose: list[int] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self.broker.rpartition(":")
        from_broker, to_broker = await asyncio.open_connection(host, int(port))
        doomed: set[bytes] = set()
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass_requests(reader, to_broker, doomed))
                both.create_task(self._pass_answers(from_broker, writer, doomed))
        except* (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            to_broker.close()
            writer.close()

    async def _pass_requests(
        self, client: asyncio.StreamReader, broker: asyncio.StreamWriter, doomed: set[bytes]
    ) -> None:
        while True:
            request = await _frame(client)
            (kind,) = API_KEY.unpack_from(request)
            if kind in self.lose:
                self.lose.remove(kind)
                self.lost.append(kind)
                doomed.add(request[4:8])
            broker.write(CORRELATION.pack(len(request)) + request)

    async def _pass_answers(
        self, broker: asyncio.StreamReader, client: asyncio.StreamWriter, doomed: set[bytes]
    ) -> None:
        while True:
            answer = await _frame(broker)
            if answer[:4] in doomed:
                raise ConnectionResetError
            answer = answer.replace(_as_kafka_says(self.broker), _as_kafka_says(self.bootstrap))
            client.write(CORRELATION.pack(len(answer)) + answer)


async def _frame(reader: asyncio.StreamReader) -> bytes:
    (size,) = CORRELATION.unpack(await reader.readexactly(CORRELATION.size))
    return await reader.readexactly(size)


def _as_kafka_says(address: str) -> bytes:
    host, _, port = address.rpartition(":")
    return host.encode() + CORRELATION.pack(int(port))


@asynccontextmanager
async def cut(broker: str) -> AsyncIterator[Cut]:
    """For a broker that is known to its clients by the address given here."""
    way = Cut(broker)
    server = await asyncio.start_server(way.serve, "127.0.0.1", 0)
    way.bootstrap = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield way
    finally:
        server.close()


@contextmanager
def cut_beside(broker: str) -> Iterator[Cut]:
    """The same for tests that have no event loop: it has a thread of its own."""
    opened: list[Cut] = []
    ready, over = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with cut(broker) as way:
            opened.append(way)
            ready.set()
            await over.wait()

    with asyncio.Runner() as runner:
        serving = threading.Thread(target=runner.run, args=(serve(),))
        serving.start()
        assert ready.wait(10), "the proxy did not start"
        try:
            yield opened[0]
        finally:
            runner.get_loop().call_soon_threadsafe(over.set)
            serving.join()

"""Records by POST, over real HTTP, into topics in memory."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr
from tests.unit.connectors.test_embedded_input import CLOCK, broker_on, of_sender, values

from penstock.connectors.embedded_store import Fence, Marks, Trim, Write
from penstock.connectors.http_listen import Listener
from penstock.connectors.input_http import PostsInput
from penstock.connectors.memory import MemoryCluster
from penstock.operators.error import Indefinite, Unreachable
from penstock.operators.input_settings import HttpInput
from penstock.operators.record import DeadLetter, Raw

BAD = DeadLetter("undecodable", "it is bad")


def refuse_bad(raw: Raw) -> DeadLetter | None:
    return BAD if raw.value == b"bad" else None


class SlowCluster(MemoryCluster):
    """Every commit waits until it may go on; `lost`: it is not answered then."""

    def __init__(self) -> None:
        super().__init__(CLOCK)
        self.may, self.lost, self.commits = asyncio.Event(), False, 0
        self.may.set()

    async def commit(
        self, fence: Fence, writes: Sequence[Write], trim: Trim | None = None, marks: Marks | None = None
    ) -> list[int]:
        self.commits += 1
        await self.may.wait()
        if self.lost:
            raise Indefinite("a commit was not answered")
        return await super().commit(fence, writes, trim, marks)


class World:
    """One input on a free port, and senders."""

    def __init__(self, cluster: SlowCluster, port: int, session: aiohttp.ClientSession, **settings: Any) -> None:
        self.cluster, self._session = cluster, session
        self.settings = HttpInput(listen=f"127.0.0.1:{port}", path="/in", **settings)
        self.input = PostsInput(self.settings, Listener(self.settings.listen), refuse_bad, CLOCK)
        self.url = f"http://{self.settings.listen}/in"
        self.running: asyncio.Task[None]

    async def start(self) -> None:
        log = await broker_on(self.cluster).open_input("s", "in", of_sender)
        self.running = asyncio.create_task(self.input.run(log))
        async with asyncio.timeout(10):
            while self.input.quiet_since is None:  # noqa: ASYNC110 - nobody sets an event when an address is open
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)

    async def stop(self) -> None:
        self.running.cancel()
        await asyncio.wait([self.running])

    async def post(self, body: bytes, **headers: str) -> tuple[int, Any]:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self._session.post(self.url, data=BytesIO(body), headers=names) as answer:
            return answer.status, await answer.json()


@asynccontextmanager
async def world(**settings: Any) -> AsyncIterator[World]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    cluster = SlowCluster()
    await cluster.create_topic("in", 2)
    async with aiohttp.ClientSession() as session:
        found = World(cluster, port, session, **settings)
        await found.start()
        yield found
        cluster.may.set()
        await found.stop()


def taken(records: int, duplicates: int = 0) -> tuple[int, dict[str, int]]:
    return 202, {"records": records, "duplicates": duplicates}


async def test_what_was_answered_with_202_is_in_the_topic() -> None:
    async with world() as here:
        assert await here.post(b"1", penstock_key="k") == taken(1)
        assert await here.post(b"2\n3\n", content_type="application/x-ndjson", penstock_key="k") == taken(2)
        assert await values(here.cluster) == [b"1", b"2", b"3"]


async def test_an_id_that_was_sent_before_is_written_once_also_after_a_restart() -> None:
    async with world() as here:
        assert await here.post(b"1", idempotency_key="a") == taken(1)
        assert await here.post(b"1", idempotency_key="a") == taken(0, 1)
        await here.stop()
        await here.start()
        assert await here.post(b"1", idempotency_key="a") == taken(0, 1)
        event = {"ce_specversion": "1.0", "ce_id": "a", "ce_source": "/s", "ce_type": "t"}
        assert await here.post(b"2", **event) == taken(1)
        assert await here.post(b"2", **event) == taken(0, 1)
        assert await here.post(b"2", **{**event, "ce_source": "/other"}) == taken(1)
        assert here.input.counts["duplicates",] == 3
        assert len(await values(here.cluster)) == 3


async def test_requests_that_come_during_a_commit_share_the_next_one_and_know_each_other() -> None:
    async with world() as here:
        here.cluster.may.clear()
        sent = [asyncio.create_task(here.post(b"%d" % number)) for number in range(20)]
        sent += [asyncio.create_task(here.post(b"same", idempotency_key="x")) for _ in range(2)]
        await asyncio.sleep(0.3)
        assert not any(each.done() for each in sent)
        here.cluster.may.set()
        answers = await asyncio.gather(*sent)
        assert answers[:20] == [taken(1)] * 20
        assert sorted(answers[20:], key=str) == [taken(0, 1), taken(1)]
        assert here.cluster.commits <= 3


@pytest.mark.parametrize(
    ("body", "headers", "status", "said"),
    [
        (b"", {}, 400, "no record"),
        (b"bad", {}, 400, "record 1 of 1: it is bad"),
        (b"1\nbad\n", {"content_type": "application/x-ndjson"}, 400, "record 2 of 2"),
        (b"x" * 101, {}, 413, "larger than 100 bytes"),
        (b"1", {"origin": "http://evil.example"}, 403, "web pages"),
        (b"1", {"authorization": "Bearer wrong"}, 401, "token"),
    ],
)
async def test_what_is_not_taken_is_told_why_and_nothing_of_it_is_written(
    body: bytes, headers: dict[str, str], status: int, said: str
) -> None:
    async with world(body_max="100B", token=SecretStr("right")) as here:
        found, answer = await here.post(body, **{"authorization": "Bearer right", **headers})
        assert found == status
        assert said in answer["error"]
        assert await values(here.cluster) == []
        assert here.input.counts["refused", str(status)] == 1


async def test_other_paths_and_methods_are_told_what_there_is() -> None:
    async with world() as here, aiohttp.ClientSession() as session:
        async with session.get(here.url) as answer:
            assert (answer.status, answer.headers["Allow"]) == (405, "POST")
        async with session.post(f"{here.url}/x", data=b"1") as answer:
            assert answer.status == 404
            assert "/in" in (await answer.json())["error"]


async def test_a_commit_of_unknown_outcome_is_answered_with_503_and_ends_the_run() -> None:
    async with world() as here:
        here.cluster.lost = True
        async with aiohttp.ClientSession() as session, session.post(here.url, data=b"1") as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        with pytest.raises(Indefinite):
            await here.running


async def test_more_than_may_wait_is_told_to_come_again() -> None:
    async with world() as here:
        here.cluster.may.clear()
        first = asyncio.create_task(here.post(b"0"))
        await asyncio.sleep(0.1)
        many = [asyncio.create_task(here.post(b"x" * (8 << 20))) for _ in range(10)]
        done, _ = await asyncio.wait(many, timeout=5)
        assert {each.result()[0] for each in done} == {503}
        here.cluster.may.set()
        await asyncio.gather(first, *many)


async def test_what_was_accepted_is_written_and_answered_when_the_input_is_stopped() -> None:
    async with world() as here:
        here.cluster.may.clear()
        sent = [asyncio.create_task(here.post(b"%d" % number)) for number in range(3)]
        await asyncio.sleep(0.2)
        opened = socket.create_connection(("127.0.0.1", int(here.settings.listen.rpartition(":")[2])))
        await asyncio.sleep(0.1)
        here.running.cancel()
        await asyncio.sleep(0.1)
        opened.sendall(b"POST /in HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n9")
        late = await asyncio.to_thread(opened.recv, 1_000)
        opened.close()
        assert b"404" not in late
        here.cluster.may.set()
        assert await asyncio.gather(*sent) == [taken(1)] * 3
        assert len(await values(here.cluster)) == 3


async def test_an_address_that_is_taken_is_told_of() -> None:
    async with world() as here:
        other = PostsInput(here.settings, Listener(here.settings.listen), refuse_bad, CLOCK)
        with pytest.raises(Unreachable, match="cannot listen"):
            await other.run(await broker_on(here.cluster).open_input("o", "in", of_sender))


async def test_sources_share_an_address_by_their_paths() -> None:
    async with world() as here, aiohttp.ClientSession() as session:
        listener = here.input._listener
        second = PostsInput(here.settings.model_copy(update={"path": "/two"}), listener, refuse_bad, CLOCK)
        running = asyncio.create_task(second.run(await broker_on(here.cluster).open_input("two", "in", of_sender)))
        await asyncio.sleep(0.1)
        async with session.post(here.url.replace("/in", "/two"), data=b"2") as answer:
            assert answer.status == 202
        running.cancel()
        await asyncio.wait([running])
        assert await here.post(b"1") == taken(1)

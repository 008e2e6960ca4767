"""A worker is stopped in the middle of an answer, and the next one goes on with it: over vLLM's protocol, in real time."""

from __future__ import annotations

import asyncio

from tests.stage import WATCH, Stage

from penstock.connectors.vllm import VllmModel
from penstock.operators.prefix import pieces
from penstock.pipelines.fake_answer import Rule
from penstock.pipelines.fake_model import FakeModelServer
from penstock.pipelines.fake_work import FakeModelOptions

SPOKEN = WATCH.replace("    answer: {verdict: {enum: [attack, benign]}, why: {type: string}}\n", "")
ANSWER = "It looks like an attack, and this is why I think so: " + "somebody tried again, " * 10 + "and that is all."
TOKENS_PER_SECOND = 20.0


async def test_an_answer_is_given_over_two_processes_and_every_token_is_generated_once() -> None:
    stage = await Stage(SPOKEN).open()
    await stage.produce([("host-1", "failed")])
    options = FakeModelOptions(tokens_per_second=TOKENS_PER_SECOND, answers=(Rule(answer=ANSWER),))
    async with FakeModelServer(options) as server:
        model = VllmModel("small", server.base_url, model="tiny")
        await model.probe()
        broker = stage.broker()
        await broker.start()
        worker = stage.worker(broker, model, until_idle=None, release_seconds=0.2)
        working = asyncio.create_task(worker.run())
        async with asyncio.timeout(30):
            while not (await stage.told()).revisions:  # noqa: ASYNC110 - the topic is all that a consumer sees
                await asyncio.sleep(0.05)
        worker.stop()
        assert (await working).exit_code == 0
        await broker.close()
        assert server.figures.aborted == 1
        await stage.play(model=model, until_idle=0.2)
        await model.close()
    told = await stage.told()
    told.check()
    [final] = told.results
    assert (final["state"], final["text"], final["attempt"], final["simulated"]) == ("final", ANSWER, 1, True)
    assert [call["outcome"] for call in final["why"]["route"]] == ["interrupted", "answered"]
    assert final["why"]["route"][1]["cached_input_tokens"] > 0
    in_flight = 3
    assert server.figures.generated_tokens <= tokens_of(ANSWER) + in_flight
    assert final["usage"]["output_tokens"] < tokens_of(ANSWER)


def tokens_of(text: str) -> int:
    return len(pieces(text))

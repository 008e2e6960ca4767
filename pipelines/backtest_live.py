"""Models that a backtest really asks: through the admission of `penstock run`, within bounds, and every answer is kept at once.

asks ─▶ Purse: may it be asked? ─▶ Admission ─▶ answers, in the order of the questions
                                                  └─▶ answers.jsonl, when a run has its outcome
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import IO

import msgspec
import orjson

from penstock.connectors.clock import MachineClock
from penstock.connectors.port import Model, TaskId
from penstock.operators.error import Misused, Rejected
from penstock.operators.event import Answered, Ask, CallLost, Streamed, Usage
from penstock.operators.model import ModelSettings, PriceSettings
from penstock.operators.plan import Plan
from penstock.operators.record import Output
from penstock.pipelines.admission import Admission
from penstock.pipelines.backtest_answering import prices_of
from penstock.pipelines.backtest_row import Row
from penstock.pipelines.backtest_tokens import TokenEstimate, tokens_max
from penstock.pipelines.endpoint import Heard
from penstock.pipelines.endpoints import limits_of, opened_models
from penstock.pipelines.meters import Meters
from penstock.pipelines.starting import find_models

_MONEY = re.compile(r"\d+(\.\d+)?")
KEPT = "answers.jsonl"
TASK = TaskId("backtest", 0)
GATHERED_MAX = 256
"""Questions are gathered up to that, or to as many as the models have seats for; of each answer the prompt is held meanwhile."""
ROOM = Decimal("1.3")
"""Tokens of prompts are counted in pieces of text, which may be a fifth too few."""


class Purse:
    """What may be asked: so many runs, so much money. A run that was begun may go on, as long as there is money."""

    def __init__(self, most_runs: int | None, budget: Decimal | None) -> None:
        self._most_runs, self._budget = most_runs, budget
        self.spent = Decimal()
        self._runs: set[tuple[str, str]] = set()
        self._reserved: dict[str, Decimal] = {}

    def open(self, ask: Ask, price: PriceSettings | None, definition: str) -> bool:
        """Whether this may be asked; what it may cost at most is held back until it is settled. A run of another definition is
        another run, whatever its id."""
        run = (definition, ask.run)
        if self._most_runs is not None and run not in self._runs and len(self._runs) >= self._most_runs:
            return False
        if self._budget is not None:
            assert price is not None, "with a budget every model has a price"
            cost = _cost_max(ask, price)
            if self.spent + sum(self._reserved.values()) + cost > self._budget:
                return False
            self._reserved[ask.call_id] = cost
        self._runs.add(run)
        return True

    def settle(self, call_id: str, usage: Usage, price: PriceSettings | None) -> None:
        self._reserved.pop(call_id, None)
        if price is not None:
            self.spent += price.cost(usage)


def _cost_max(ask: Ask, price: PriceSettings) -> Decimal:
    prompt = TokenEstimate().unanswered(ask).input_tokens
    return price.cost(Usage(int(prompt * ROOM), 0, tokens_max(ask)))


def purse_of(most_runs: int | None, budget: str | None, models: Sequence[Mapping[str, ModelSettings]]) -> Purse:
    """As on the command line. Raises Misused for money that is none, and where a model has no price that it could be spent by."""
    if budget is None:
        return Purse(most_runs, None)
    if _MONEY.fullmatch(budget) is None:
        raise Misused(f"{budget!r} is no money", where="--budget", remedy="write a number, such as 2.50")
    unpriced = [name for each in models for name, settings in each.items() if settings.price is None]
    if unpriced:
        remedy = f"write `price:` of {unpriced[0]} into the file, or bound the runs with --most-runs"
        raise Misused(f"nobody knows what {unpriced[0]} costs", where="--budget", remedy=remedy)
    return Purse(most_runs, Decimal(budget))


def check_live(live: bool, workers: int, out: Path | None, bounds: Mapping[str, int | str | None]) -> None:
    """What only makes sense with models that are really asked, and what they need. Raises Misused."""
    given = [name for name, bound in bounds.items() if bound is not None]
    if not live and given:
        raise Misused("no model is asked that it could bound", where=given[0], remedy="write --answers live, too")
    if live and not given:
        remedy = "bound it with --most-runs N, or with --budget MONEY"
        raise Misused("nothing says how much may be asked", where="--answers live", remedy=remedy)
    if live and out is None:
        raise Misused(
            "answers that are paid for are kept", where="--answers live", remedy="name a folder with --out FOLDER"
        )
    if live and workers > 1:
        remedy = "use one process: -w 1; it has as many calls under way as the file's models have seats"
        raise Misused("one process asks the models", where="-w", remedy=remedy)


class _Nowhere:
    """No broker: no lease that could run out, nobody who looks on."""

    def lease(self) -> float:
        return 1.0

    async def preview(self, output: Output, partition: int) -> None:
        raise AssertionError("a backtest asks for no previews")


class LiveModels:
    """`Live` of one file. `kept` is where outcomes are written, a line each, before anything else happens."""

    def __init__(
        self,
        plan: Plan,
        models: Mapping[str, Model],
        settings: Mapping[str, ModelSettings],
        purse: Purse,
        kept: IO[bytes],
        runner: asyncio.Runner,
    ) -> None:
        self.most = min(GATHERED_MAX, sum(each.concurrency for each in settings.values()))
        self._definition = plan.digest
        self._prices, self._purse, self._kept, self._runner = prices_of(plan), purse, kept, runner
        self._bugs: list[BaseException] = []
        self._admission = Admission(
            models, _Nowhere(), MachineClock(), Random(), Meters(), self._bugs.append, limits=limits_of(settings)
        )

    def answers(self, asks: Sequence[Ask]) -> list[Answered | CallLost | None]:
        return self._runner.run(self._answers(asks))

    async def _answers(self, asks: Sequence[Ask]) -> list[Answered | CallLost | None]:
        allowed = [ask if self._purse.open(ask, self._prices[ask.endpoint], self._definition) else None for ask in asks]
        waiting = [None if ask is None else asyncio.ensure_future(self._heard(ask)) for ask in allowed]
        return [None if each is None else await each for each in waiting]

    async def _heard(self, ask: Ask) -> Answered | CallLost:
        """The end of one call. A bug in a client is no answer that could be waited for."""
        over: asyncio.Future[Answered | CallLost] = asyncio.get_running_loop().create_future()

        def deliver(heard: Heard) -> None:
            assert not isinstance(heard, Streamed), "nothing is to be shown while it grows"
            over.set_result(heard)

        self._admission.ask(msgspec.structs.replace(ask, delay=0, partial_every=None, preview=False), TASK, deliver)
        while not over.done():
            await asyncio.wait([over], timeout=0.5)
            if self._bugs:
                raise self._bugs[0]
        heard = over.result()
        self._purse.settle(ask.call_id, heard.usage, self._prices[ask.endpoint])
        return heard

    def told(self, row: Row) -> None:
        self._kept.write(orjson.dumps(row.as_json()) + b"\n")
        self._kept.flush()

    async def close(self) -> None:
        await self._admission.close()


@contextmanager
def live_models(plan: Plan, settings: Mapping[str, ModelSettings], purse: Purse, file: Path) -> Iterator[LiveModels]:
    """Raises Unreachable where an agent has no model that answers, Rejected where answers cannot be kept."""
    with _kept(file) as kept, asyncio.Runner() as runner:
        stack = AsyncExitStack()
        try:
            models = runner.run(stack.enter_async_context(opened_models(settings)))
            runner.run(find_models(plan, models))
            live = LiveModels(plan, models, settings, purse, kept, runner)
            stack.push_async_callback(live.close)
            yield live
        finally:
            runner.run(stack.aclose())


@contextmanager
def _kept(path: Path) -> Iterator[IO[bytes]]:
    """Answers of a former time stay: it is written behind them."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            yield file
    except OSError as error:
        raise Rejected(
            f"cannot be written: {error.strerror}", where=str(error.filename or path), remedy="check --out"
        ) from error

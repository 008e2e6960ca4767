"""Before a worker works: what is not there yet is given a few tries, what is there and wrong is told at once."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from random import Random
from typing import TypeVar

from penstock.connectors.port import Model, WallClock
from penstock.operators.agent_plan import AgentPlan
from penstock.operators.error import Unanswered, Unreachable
from penstock.operators.plan import Plan
from penstock.pipelines.backoff import Backoff
from penstock.pipelines.endpoints import probed

log = logging.getLogger("penstock")

ATTEMPTS = 5
"""For what starts beside us, in a container of its own; then it is exit 3."""

T = TypeVar("T")


async def patiently(attempt: Callable[[], Awaitable[T]], clock: WallClock, random: Random) -> T:
    """What `attempt` returns, tried again while nobody answers. Raises Unanswered in the end, and at once all else."""
    backoff = Backoff(random, first=0.5, longest=5.0)
    for _ in range(ATTEMPTS - 1):
        try:
            return await attempt()
        except Unanswered as error:
            log.warning("%s; trying again", error)
            await clock.sleep(backoff.draw())
    return await attempt()


async def find_models(plan: Plan, models: Mapping[str, Model]) -> None:
    """One request to each model that an agent of a trigger may ask; one that is of no use now is told in the log.

    Raises Unanswered or Unreachable for an agent that has no other.
    """
    agents = {planned.agent.name: planned.agent for planned in plan.triggers if planned.agent is not None}
    needed = dict.fromkeys(endpoint.name for agent in agents.values() for endpoint in agent.endpoints)
    answers = await probed({name: models[name] for name in needed})
    useless = {name: answer for name, answer in answers.items() if isinstance(answer, Unreachable)}
    helpless = [agent for agent in agents.values() if useless.keys() >= {each.name for each in agent.endpoints}]
    if helpless:
        raise _nobody_to_ask(helpless, useless)
    for error in useless.values():
        log.warning("%s; the agents that would ask it have another model", error)


def _nobody_to_ask(agents: Sequence[AgentPlan], useless: Mapping[str, Unreachable]) -> Unreachable:
    """Waiting helps where each of the agents has a model that may only be starting."""
    errors = {agent.name: [useless[each.name] for each in agent.endpoints] for agent in agents}
    may_come = all(any(isinstance(error, Unanswered) for error in each) for each in errors.values())
    told = list(dict.fromkeys(error for each in errors.values() for error in each))
    what = "; ".join(f"{error.where} {error.what}" for error in told)
    where = f"agent{'s' if len(errors) > 1 else ''} {', '.join(errors)}"
    remedy = "; ".join(dict.fromkeys(error.remedy for error in told))
    return (Unanswered if may_come else Unreachable)(f"no model to ask: {what}", where=where, remedy=remedy)

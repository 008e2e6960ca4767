"""What a chain of runs needs at its beginning: values are found when its first trigger fires, and never again."""

from __future__ import annotations

from collections.abc import Iterator

from penstock.operators.plan import Plan, PlannedTrigger
from penstock.operators.template import Template
from penstock.operators.trigger_after import After, AfterSettings, values_named
from penstock.pipelines.spec import Spec


def named_after(spec: Spec, agent: str | None) -> set[str]:
    """Definitions that those who follow the agent, one after the other, read as `values.<name>`."""
    return {name for follower in _followers(spec, agent) for name in _named(spec, follower)}


def _followers(spec: Spec, agent: str | None) -> Iterator[str]:
    """Triggers, by name. No agent follows itself: that is refused before."""
    for name, settings in spec.triggers.items():
        if isinstance(settings, AfterSettings) and settings.after == agent:
            yield name
            yield from _followers(spec, spec.agent_of(name))


def _named(spec: Spec, follower: str) -> set[str]:
    settings, agent = spec.triggers[follower], spec.agent_of(follower)
    texts = [*settings.annotations.values(), *([] if agent is None else [spec.agents[agent].ask])]
    where = settings.where if isinstance(settings, AfterSettings) else None
    own = set() if where is None else values_named(where)
    return own.union(*(Template(text).values for text in texts))


def reported(spec: Spec, plan: Plan, planned: PlannedTrigger) -> list[str]:
    """What the results of a trigger may have among their `values`."""
    own = [*(name for name, _ in planned.values), *sorted(spec.triggers[planned.name].tells)]
    if not isinstance(planned.trigger, After):
        return own
    followed = planned.trigger.agent
    before = [each for each in plan.triggers if each.agent is not None and each.agent.name == followed]
    return list(dict.fromkeys(name for each in before for name in reported(spec, plan, each)))

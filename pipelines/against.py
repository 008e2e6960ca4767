"""`penstock check NEW --against OLD`: what the state of a running pipeline can follow, before anything is deployed.

It says what a task says when it opens a log of the other file (`operators/succession.py`), from the two files alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from penstock.operators.agent_plan import AgentPlan
from penstock.operators.error import Rejected
from penstock.operators.plan import Plan
from penstock.operators.succession import WAY_OUT, keying_changes

Fate = Literal["kept", "changed", "new", "gone"]
WHAT_FOLLOWS: Mapping[str, Mapping[Fate, str]] = {
    "sources": {
        "kept": "read on from where it is",
        "changed": "",
        "new": "new: begins where its `start` says",
        "gone": "gone: its position is kept, for the case that it comes back",
    },
    "triggers": {
        "kept": "goes on",
        "changed": "begins anew: it means something else now; what it remembered is kept for 7 days",
        "new": "new",
        "gone": "gone: what it remembers is kept for 7 days, for the case that it comes back",
    },
    "aggregates": {
        "kept": "goes on",
        "changed": "",
        "new": "new: begins empty",
        "gone": "gone: kept for 7 days, for keys without an event meanwhile",
    },
    "agents": {
        "kept": "goes on",
        "changed": "changed: runs in flight finish as they began",
        "new": "new",
        "gone": "gone: runs in flight finish as they began",
    },
}
"""Of every part of the file, by what became of it."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """`refused` are sentences; `fates` say what becomes of every part, by section. `same_log`: it is the same pipeline.

    `failing` maps agents to the reason why their runs in flight cannot finish.
    """

    same_log: bool
    refused: list[str]
    fates: Mapping[str, Mapping[str, Fate]]
    failing: Mapping[str, str]

    @property
    def ok(self) -> bool:
        return not self.refused

    def lines(self) -> Iterator[str]:
        """For people."""
        if not self.same_log:
            yield "another name or namespace: it begins with an empty log, and nothing of the state follows"
            return
        for section, fates in self.fates.items():
            for name, fate in fates.items():
                yield f"{section}.{name}: {WHAT_FOLLOWS[section][fate]}"
        for name, reason in self.failing.items():
            yield f"agents.{name}: its runs in flight will fail: {reason}"
        for sentence in self.refused:
            yield f"refused: {sentence}; {WAY_OUT}"

    def as_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "same_log": self.same_log,
            "refused": self.refused,
            **self.fates,
            "failing": self.failing,
        }


def compare(old: Plan, new: Plan) -> Comparison:
    """What becomes of the state of `old` under `new`."""
    same_log = (old.namespace, old.name) == (new.namespace, new.name)
    agents = {name: _revived(old, new, name) for name in old.agents}
    return Comparison(
        same_log=same_log,
        refused=keying_changes(old.keying, new.keying) if same_log else [],
        fates={
            "sources": _fates(*({source.topic: source.topic for source in plan.sources} for plan in (old, new))),
            "triggers": _fates(*({each.name: each.identity for each in plan.triggers} for plan in (old, new))),
            "aggregates": _fates(*({name: name for name in plan.slot_names} for plan in (old, new))),
            "agents": _fates(agents, new.agents),
        },
        failing={name: found for name, found in agents.items() if isinstance(found, str)},
    )


def _revived(old: Plan, new: Plan, name: str) -> AgentPlan | str:
    """What runs in flight go by: the present agent itself if it has not changed; else a former one, or why there is none."""
    try:
        return new.revive(old.agents_text, name)
    except Rejected as error:
        return error.what


def _fates(old: Mapping[str, object], new: Mapping[str, object]) -> dict[str, Fate]:
    """By names, in the order of the new file; each stands for what it means."""
    return {name: _fate(name, old, new) for name in dict.fromkeys((*new, *old))}


def _fate(name: str, old: Mapping[str, object], new: Mapping[str, object]) -> Fate:
    if name not in old:
        return "new"
    if name not in new:
        return "gone"
    return "kept" if old[name] == new[name] else "changed"

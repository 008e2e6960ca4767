"""What a run of torture found, as one object and as a page for people."""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from rich.console import Console
from rich.table import Table

from penstock.pipelines.torture_faults import Arena
from penstock.pipelines.torture_plan import KINDS
from penstock.pipelines.torture_story import Kind
from penstock.pipelines.torture_times import (
    handovers_ms,
    longest_ms,
    longest_stall_ms,
    longest_takeover_ms,
    quantile,
    restored_ms,
    takeovers_ms,
)
from penstock.pipelines.torture_trial import Trial

FOUND_MAX = 20
WRONG = frozenset({"lost", "duplicated", "contradicted", "repaid_completed"})
"""Figures that have to be 0."""
MEANINGS: Mapping[str, str] = {
    "cycles": "cycles of events and faults",
    "events": "events written, acknowledged or found on the topic",
    "runs": "runs with an outcome",
    "lost": "firings, results or commits that are not there",
    "duplicated": "outcomes, revisions or commits that are there twice",
    "contradicted": "whatever else the guarantee rules out",
    "repaid_completed": "model calls that nothing excuses",
    "repaid_in_flight": "model calls paid again because their task was opened anew meanwhile",
    "restore_ms_p50": "opening a task: fence, log, declaration; the median",
    "restore_ms_p99": "… and the 99th percentile",
    "takeover_ms_p99": "from a kill to the successor's first commit, of each of the victim's partitions",
    "takeover_ms_max": "… the longest, also of those that met other faults",
    "handover_ms_p99": "from an owner's last commit to another's first one, where nobody was killed or stopped",
    "stall_ms_max": "longest pause of a partition that stayed where it was while events came in",
    "write_ms_max": "… and the longest that brokers and machine took to acknowledge one event",
}


def figures(trial: Trial, cycles: int, *, kafka: str, brokers: int, seconds: float) -> dict[str, Any]:
    """The object that `--json` prints. `kafka` is its version, where that is known."""
    ledger, arena = trial.ledger, trial.arena
    kinds: Counter[Kind] = Counter(problem.kind for problem in trial.found)
    restored = restored_ms(_logs(arena))
    owners = {commit.owner for chain in ledger.chains.values() for commit in chain.opened if commit.owner is not None}
    disturbed = {owner: arena.disturbed(owner) for owner in owners}
    takeovers = takeovers_ms(arena.losses, ledger.chains, arena.struck)
    handovers = handovers_ms(arena.losses, ledger.chains, trial.flows, arena.struck)
    return {
        "ok": not trial.found,
        "cycles": cycles,
        "events": ledger.events,
        "runs": len(ledger.outcomes),
        "lost": kinds["lost"],
        "duplicated": kinds["duplicated"],
        "contradicted": kinds["contradicted"],
        "repaid_completed": kinds["repaid"],
        "repaid_in_flight": trial.bill.paid_again,
        "restore_ms_p50": quantile(restored, 0.5),
        "restore_ms_p99": quantile(restored, 0.99),
        "takeover_ms_p99": quantile(takeovers, 0.99),
        "takeover_ms_max": _rounded(longest_takeover_ms(arena.losses, ledger.chains)),
        "handover_ms_p99": quantile(handovers, 0.99),
        "stall_ms_max": _rounded(longest_stall_ms(arena.losses, ledger.chains, trial.flows, disturbed, arena.struck)),
        "write_ms_max": _rounded(longest_ms(trial.slow_writes, arena.brokers_away)),
        "seed": trial.seed,
        "faults": dict(sorted(arena.counts.items())),
        "openings": len(restored),
        "takeovers": len(takeovers),
        "handovers": len(handovers),
        "brokers": brokers,
        "workers": arena.strength,
        "seconds": round(seconds, 1),
        "versions": {"penstock": version("penstock"), "kafka": kafka, **_versions()},
        "hardware": _hardware(),
        "found": [f"{problem.kind}: {problem.text}" for problem in trial.found[:FOUND_MAX]],
        "found_in_all": len(trial.found),
    }


def _rounded(value: float | None) -> int | None:
    return None if value is None else round(value)


def _logs(arena: Arena) -> list[str]:
    workers = arena.workers
    return [workers.log_of(number).read_text(errors="replace") for number in range(len(workers.processes))]


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), "aiokafka": version("aiokafka")}


def _hardware() -> dict[str, Any]:
    try:
        memory = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, OSError, ValueError):
        memory = None
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"machine": platform.machine(), "system": platform.system(), "cpus": cpus, "memory_gb": memory}


def report(console: Console, found: Mapping[str, Any]) -> None:
    """For people."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, meaning in MEANINGS.items():
        table.add_row(name, _readable(found[name]), meaning, style="red" if name in WRONG and found[name] else None)
    console.print(table)
    console.print()
    for kind, count in found["faults"].items():
        what = f"{kind}: {KINDS[kind].text}" if kind in KINDS else kind
        console.print(f"{count:>5} × {what}", markup=False)
    console.print()
    if found["ok"]:
        console.print("Nothing was lost, doubled or contradicted, and no completed step was paid again.")
    else:
        _explain(console, found)


def _readable(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _explain(console: Console, found: Mapping[str, Any]) -> None:
    shown, count, folder = found["found"], found["found_in_all"], found["evidence"]
    console.print(f"{count} things are wrong:", style="red")
    for text in shown:
        console.print(f"  {text}", markup=False, soft_wrap=True)
    if count > len(shown):
        console.print(f"  … and {count - len(shown)} more")
    brokers = f"--brokers {found['brokers']}" if found["brokers"] else "--kafka …"
    console.print(
        f"""
To look further:
  grep RUN {folder}/seen.jsonl      every record of a run as it was read, in order
  grep RUN {folder}/calls.jsonl     its model calls
  less {folder}/worker-*.log        what the workers said
  penstock torture --cycles {found["cycles"]} {brokers} --seed {found["seed"]}      the same plan again""",
        markup=False, soft_wrap=True,
    )  # fmt: skip

"""What a model call costs: CPU of the worker per call, and memory of the worker per run that waits for its answer.

The simulated server runs in a process of its own and streams 128 tokens per call. By default it writes them as fast as it can,
so many arrive together; paced, every token is a packet of its own, which costs the client as much as anything can.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import orjson
from tests.bench.figure import Figure, middle
from tests.bench.part import run_part
from tests.bench.server import simulated_model

from penstock.operators.prefix import pieces

TOKENS = 128
CALLS, CALLS_QUICK = 2_000, 300
PACED_CALLS, PACED_CALLS_QUICK = 600, 128
PACED_TOKENS_PER_SECOND = 100
ROUNDS = 3
RUNS, RUNS_QUICK = 5_000, 500
CPU_MS_MAX, MEMORY_KB_MAX = 1.5, 20.0


def run(quick: bool) -> Figure:
    with tempfile.TemporaryDirectory() as folder:
        answers = Path(folder) / "answers.yaml"
        answers.write_bytes(orjson.dumps([{"answer": answer_of(TOKENS)}]))
        at_once = _cost(answers, CALLS_QUICK if quick else CALLS)
        paced = _cost(answers, PACED_CALLS_QUICK if quick else PACED_CALLS, PACED_TOKENS_PER_SECOND)
    memory = _memory(RUNS_QUICK if quick else RUNS)
    cpu, held = middle([each["cpu_ms"] for each in at_once]), memory["kb_per_run"]
    return Figure(
        bench="call_cost",
        ours=cpu,
        other=None,
        unit="ms CPU per call",
        target=f"<= {CPU_MS_MAX:g} ms per call; <= {MEMORY_KB_MAX:g} KB per run in flight",
        ok=cpu <= CPU_MS_MAX and held <= MEMORY_KB_MAX,
        detail={
            "kb_per_run": held,
            "memory": memory,
            "rounds": at_once,
            f"paced_{PACED_TOKENS_PER_SECOND}_tokens_per_second": paced,
        },
    )


def answer_of(tokens: int) -> dict[str, str]:
    """An answer that is so many tokens long as JSON, by the simulated server's tokenizer."""
    answer = {"verdict": "good", "why": ""}
    while len(pieces(orjson.dumps(answer).decode())) < tokens:
        answer["why"] += " so" if answer["why"] else "so"
    return answer


def _cost(answers: Path, calls: int, tokens_per_second: int | None = None) -> list[dict[str, Any]]:
    pace = [] if tokens_per_second is None else ["--tokens-per-second", str(tokens_per_second)]
    rounds = 1 if tokens_per_second is not None else ROUNDS
    with simulated_model("--answers", str(answers), *pace) as base_url:
        return [run_part("call_cost_part", "cost", base_url, calls) for _ in range(rounds)]


def _memory(runs: int) -> dict[str, Any]:
    with simulated_model("--ttft", "600", "--max-num-seqs", str(runs)) as base_url:
        return run_part("call_cost_part", "memory", base_url, runs)

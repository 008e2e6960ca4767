"""The same workload under the same kills on Penstock and its peers: `python -m tests.peers`; docs/reliability/peers.md.

Prints one JSON line per system, and a table of all at the end. A system that cannot run says why on stderr; the exit code is
then 1. A violation is a result, not a failure of this program.
"""

from __future__ import annotations

import argparse
import json
import sys

from confluent_kafka import KafkaException
from tests.peers.contest import Outcome, contest
from tests.peers.environment import CannotRun
from tests.peers.systems import SYSTEMS, System
from tests.peers.timeline import Timeline, timeline

from penstock.pipelines.torture_kafka import NoKafka

COLUMNS = (
    "system", "version", "events", "expected", "seen", "lost", "duplicated", "disordered", "wrong", "wrong_keys", "lag", "died",
    "helped", "seconds",
)  # fmt: skip


def main() -> int:
    options = _options()
    plan = timeline(options.seed, options.cycles)
    if options.calm:
        plan = plan.without_kills()
    cycles = 0 if options.calm else options.cycles
    outcomes = [_printed(SYSTEMS[name], plan, options.seed, cycles) for name in options.only]
    print()
    print(_table([outcome for outcome in outcomes if outcome is not None]))
    return 0 if all(outcomes) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.peers", description=__doc__)
    parser.add_argument("--cycles", type=int, default=15, help="slices of events, each with a kill")
    parser.add_argument("--seed", type=int, default=1, help="of the events and the kills")
    parser.add_argument("--only", type=_names, default=list(SYSTEMS), help=f"of {','.join(SYSTEMS)}; default: all")
    parser.add_argument("--calm", action="store_true", help="the same events without kills")
    return parser.parse_args()


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in SYSTEMS]:
        raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}; there are {', '.join(SYSTEMS)}")
    return names


def _printed(system: System, plan: Timeline, seed: int, cycles: int) -> Outcome | None:
    try:
        outcome = contest(system, plan, seed=seed, cycles=cycles)
    except (CannotRun, NoKafka, KafkaException, TimeoutError) as error:
        print(f"{system.name} could not run: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return None
    print(json.dumps(outcome.fields()), flush=True)
    return outcome


def _table(outcomes: list[Outcome]) -> str:
    rows = [COLUMNS, ("---",) * len(COLUMNS), *map(_row, outcomes)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(outcome: Outcome) -> tuple[str, ...]:
    fields = outcome.fields()
    return tuple(str(fields[column]) for column in COLUMNS)


if __name__ == "__main__":
    sys.exit(main())

"""The rules of the protocol, switched off one at a time from outside: a story has to notice.

    python -m tests.simulation.mutations                 tries all of them and prints which seed of which story noticed what
    python -m tests.simulation.mutations "read before the fence"

docs/reliability/mutations.md says what came of it, and which rules cannot be shown to be needed in this way.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import pytest
from tests.simulation import breaches as b
from tests.simulation.stories import Seed, why_it_fails

Breach = Callable[[pytest.MonkeyPatch], None]


class Mutation(NamedTuple):
    """`rules` of docs/protocol.md; `breaks` switch them off; a story of `kind` notices within so many `seeds`, and what it says
    has `sign` in it. Seeds before `first` are known to notice nothing.
    """

    rules: str
    kind: str
    seeds: int
    sign: str
    breaks: tuple[Breach, ...]
    first: int = 0


MUTATIONS: Mapping[str, Mutation] = {
    "read before the fence": Mutation("1", "brokerless", 60, "", (b.read_before_the_fence,), 240),
    "a fence of its own for every opening": Mutation("1", "stopped", 60, "", (b.fence_nobody,)),
    "asked again before `opened` is committed": Mutation(
        "1, 10", "killed", 20, "was asked before `opened` was committed", (b.ask_at_once,)
    ),
    "outputs in a second transaction": Mutation(
        "2", "killed", 5, "were committed without their delta", (b.outputs_apart,)
    ),
    "outputs before the delta": Mutation("2", "killed", 5, "was written before the delta", (b.outputs_first,)),
    "a commit whose outcome is unknown is repeated": Mutation("3", "cut off", 60, "", (b.repeat_commits,), 480),
    "no epoch is retired": Mutation("4", "late ends", 60, "were not committed with it", (b.keep_epochs,)),
    "a bucket is encoded late": Mutation("5", "heavy", 10, "says something else of", (b.encode_late,)),
    "the log is trimmed too early": Mutation("5", "heavy", 10, "the beginning of the log was deleted", (b.trim_early,)),
    "the log is trimmed before the bucket is committed": Mutation(
        "5", "heavy", 300, "everything before offset", (b.trim_ahead,)
    ),
    "no repair, and no epoch is retired": Mutation(
        "4, 6", "late ends", 300, "lost: ", (b.repair_nothing, b.keep_epochs, b.look_at_what_is_told_alone)
    ),
    "positions from group offsets": Mutation("7", "killed", 10, "", (b.follow_group_offsets,)),
    "the heir of a task does not wait": Mutation("8", "handed over", 20, "which was at work", (b.wait_for_no_release,)),
    "the owner of a task does not finish": Mutation("8", "handed over", 20, "which was at work", (b.finish_nothing,)),
    "the lease is ignored": Mutation("9", "cut off", 100, "has had the task since", (b.ignore_lease,)),
    "answers that had come are not kept": Mutation("11", "eventful", 150, "which had the answer", (b.forget_answers,)),
    "run ids that are counted": Mutation("12", "killed", 5, "invented: ", (b.count_runs,)),
    "idle by the wall clock": Mutation("13", "timed", 120, "", (b.tell_silence_by_the_clock,)),
    "the watermark is not saved": Mutation("13", "two inputs", 30, "", (b.forget_watermarks,)),
    "an answer that came late is news": Mutation("13", "two inputs", 300, "", (b.take_old_news_for_new,)),
    "the input furthest ahead says how late it is": Mutation("13", "two inputs", 20, "", (b.let_any_input_lead,)),
    "a merge waits for nobody": Mutation("13", "two recordings", 20, "other answers: ", (b.wait_for_no_input,)),
    "what waits in a merge counts as read": Mutation(
        "13", "two recordings", 60, "lost: ", (b.take_what_waits_for_read,), 500
    ),
    "partials after their final": Mutation("14", "killed", 10, "comes right after revision", (b.turn_outputs_round,)),
    "outputs are not measured": Mutation("15", "refused", 20, "", (b.measure_nothing,)),
    "a task without a commit is kept": Mutation("15", "stuck", 20, "", (b.be_patient,)),
    "runs of another definition are dropped": Mutation("16", "rolled out", 100, "", (b.drop_former_runs,)),
    "runs of another definition ask by the present one": Mutation(
        "16", "rolled out", 100, "other answers: ", (b.ask_by_the_present_file,)
    ),
    "older processes do not defer": Mutation("16", "rolled out", 100, "takes back", (b.defer_to_nobody,)),
    "what a definition does not know is thrown away": Mutation("16", "rolled out", 100, "", (b.carry_nothing,)),
    "an aggregate that missed events counts on": Mutation("16", "rolled out", 100, "", (b.miss_nothing,)),
}
UNNOTICED: Mapping[str, Mutation] = {
    "`opened` may lie anywhere": Mutation("1", "cut off", 20, "", (b.let_opened_lie_anywhere,)),
    "no look at the end of the log after the epoch": Mutation("4", "late ends", 20, "", (b.look_at_nothing,)),
    "call ids without attempt": Mutation("11", "eventful", 20, "", (b.same_call_id,)),
}
"""Something else holds where these fail: docs/reliability/mutations.md says what."""


class Catch(NamedTuple):
    """`seeds`: how many were played. `why` is empty when none of them noticed."""

    seeds: int
    why: str


def catch(mutation: Mutation) -> Catch:
    """Play until something is noticed."""
    with pytest.MonkeyPatch.context() as patch:
        for breach in mutation.breaks:
            breach(patch)
        for number in range(mutation.first, mutation.first + mutation.seeds):
            if why := why_it_fails(Seed(mutation.kind, number)):
                return Catch(number + 1, why)
    return Catch(mutation.seeds, "")


def main() -> int:
    known = {**MUTATIONS, **UNNOTICED}
    names = sys.argv[1:] or list(known)
    for name in names:
        began, mutation = time.monotonic(), known[name]
        seeds, why = catch(mutation)
        seconds = time.monotonic() - began
        said = f"noticed: {why[:200]}" if why else "not noticed"
        sys.stdout.write(f"{name} (rule {mutation.rules}): {mutation.kind}, {seeds} seeds, {seconds:.1f} s, {said}\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What is the case now: one record per case on a compacted topic, and none once the case is over.

    results   final(a) ──────────── resolved(a) ──────────────────── final(b) …
    latest    final(a) ──────────── resolved(a) ── keep ── nothing     final(b) …
                                                      └─ a tombstone

A case is one trigger for one key, or for a part of one; its record key, the fingerprint, follows from their names. What stands
under it is the newest outcome of the case, by the event time of its firing, until `keep` after its end: the end of the episode,
or the firing itself where it opened none. Whatever is forgotten of a key takes its cases with it.

What is remembered is what stands on the topic. It is part of the key's state, a cell among those of its triggers, so a
restart forgets no tombstone that is due. docs/decisions/0013-latest.md says why it is so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from penstock.operators.agent import has_outcome
from penstock.operators.instant import iso_text
from penstock.operators.record import Output
from penstock.operators.result import LatestPlan, ResultPlan, result_outputs, source_of
from penstock.operators.run import ID_BYTES, Run, State
from penstock.operators.unsaved import Unsaved

GONE = "penstock.gone.v1"
"""The type (`ce_type`) of a tombstone."""
LookAfter = Callable[[str, int], None]
"""(key, instant): the key is to be looked at once the watermark has passed the instant."""
KEYS_AT_ONCE = 10_000
"""So many are armed in a few milliseconds."""


class Shown(NamedTuple):
    """What stands on the topic for one case: of which run, when that fired, and when the case ended (ms of event time)."""

    run: str
    at: int
    ended: int | None


class Latest:
    """The cases of a task's keys; of a pipeline without such a topic there are none. `identity` names their cells."""

    def __init__(self, plan: LatestPlan | None, results: ResultPlan, unsaved: Unsaved, look_after: LookAfter) -> None:
        self._plan, self._results, self._unsaved, self._look_after = plan, results, unsaved, look_after
        self._cases: dict[str, dict[str, Shown]] = {}
        self.identity = "" if plan is None else plan.identity

    def show(self, run: Run, state: str, record: Output) -> None:
        """The run has an outcome, or its episode an end: `record` is what it says of it on the results topic."""
        plan = self._plan
        if plan is None or (state != "resolved" and run.ends_at is not None):  # `resolved` follows at once
            return
        if run.firing.corrects is not None:  # the episode that it is about goes on, and is what stands there
            return
        case = fingerprint(self._results.pipeline, run.firing.trigger, run.key, run.firing.group)
        before = self._cases.get(run.key, {}).get(case)
        if before is not None and run.firing.at < before.at:
            return
        ended = run.firing.at if run.firing.episode is None else run.ends_at
        if ended is not None and plan.keep == 0:
            self._take_away(run.key, case)
            return
        self._cases.setdefault(run.key, {})[case] = Shown(run.id, run.firing.at, ended)
        shown = msgspec.structs.replace(record, topic=plan.topic, key=case.encode())
        self._write(run.key, shown)
        if ended is not None:
            self._look_after(run.key, ended + plan.keep)

    def take_away_over(self, name: str, at: int) -> None:
        """The watermark has come to `at`: what ended longer than `keep` before, of one key."""
        dues = [(self._due(shown), case) for case, shown in self._cases.get(name, {}).items()]
        for _, case in sorted((due, case) for due, case in dues if due is not None and due < at):
            self._take_away(name, case)
        self._look_again(name)

    def end_key(self, name: str) -> None:
        """The key is forgotten, and nothing of it stays."""
        for case in list(self._cases.get(name, ())):
            self._take_away(name, case)

    def reopen(self, begun: Collection[str], open_runs: Iterable[Run]) -> Iterator[None]:
        """After restoring, in steps, at least one: timers are not saved, they follow from the cases.

        `begun` are the identities that the definition before did not know; `open_runs` those whose episode has not ended.
        """
        if self.identity in begun:
            self._catch_up([run for run in open_runs if has_outcome(run)])
        for number, name in enumerate(list(self._cases), start=1):
            self._look_again(name)
            if number % KEYS_AT_ONCE == 0:
                yield
        yield

    def _catch_up(self, told: Sequence[Run]) -> None:
        """For a while nobody looked after the topic: what was open goes if it is not any more, and what is open comes."""
        open_now = {run.id for run in told}
        for name, cases in list(self._cases.items()):
            for case, shown in list(cases.items()):
                if shown.ended is None and shown.run not in open_now:
                    self._take_away(name, case)
        stands = {shown.run for cases in self._cases.values() for shown in cases.values()}
        for run in told:
            if run.id not in stands:
                state: State = "final" if run.reason is None else "failed"
                self.show(run, state, result_outputs(run, self._results, state)[0])

    def _due(self, shown: Shown) -> int | None:
        """The last instant at which it stays."""
        return None if shown.ended is None or self._plan is None else shown.ended + self._plan.keep

    def _look_again(self, name: str) -> None:
        dues = (self._due(shown) for shown in self._cases.get(name, {}).values())
        following = min((due for due in dues if due is not None), default=None)
        if following is not None:
            self._look_after(name, following)

    def _take_away(self, name: str, case: str) -> None:
        shown = self._cases.get(name, {}).pop(case, None)
        if shown is None or self._plan is None:
            return
        if not self._cases[name]:
            del self._cases[name]
        identity = f"{shown.run}/gone"
        headers = {
            "ce_specversion": "1.0",
            "ce_id": identity,
            "ce_source": source_of(self._results.namespace, self._results.pipeline),
            "ce_type": GONE,
            "ce_time": iso_text(shown.at),
            **({"ce_subject": name} if name else {}),
        }
        encoded = tuple((header, text.encode()) for header, text in headers.items())
        self._write(name, Output(identity, self._plan.topic, case.encode(), None, encoded))

    def _write(self, name: str, output: Output) -> None:
        self._unsaved.publish([output], outcome=True)
        self._unsaved.shown.add(name)

    # --- in the log -----------------------------------------------------------------------------------------------

    def dump(self, name: str) -> dict[str, Any] | None:
        """Builtins only; None where nothing stands."""
        cases = self._cases.get(name)
        return None if cases is None else {case: list(shown) for case, shown in cases.items()}

    def load(self, name: str, dumped: Mapping[str, Any] | None) -> None:
        self.drop(name)
        if dumped:
            self._cases[name] = {case: Shown(*shown) for case, shown in dumped.items()}

    def drop(self, name: str) -> None:
        """Of a key whose end, or whose image, the log tells."""
        self._cases.pop(name, None)


def fingerprint(pipeline: str, trigger: str, key: str, by: str | None = None) -> str:
    """The record key of a case: 24 hexadecimal digits."""
    names = msgspec.msgpack.encode([pipeline, trigger, key, by])
    return blake2b(names, digest_size=ID_BYTES).hexdigest()

"""One deployment on one transport, held against what has to come out of it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from tests.e2e.deployment import EXAMPLE, Deployment
from tests.e2e.ledger import Ledger, Told
from tests.e2e.processes import until, workers
from tests.e2e.transport import Transport

from penstock.pipelines.torture_processes import Workers

LOG_CHARACTERS_MAX = 6000
DIFFERENCES_MAX = 10


def unique_name(word: str) -> str:
    """For topics and namespaces on a cluster that others use, too."""
    return f"{word}-{uuid.uuid4().hex[:8]}"


@dataclass(frozen=True)
class Trial:
    """`expected`: the ledger of an undisturbed run over the same input."""

    transport: Transport
    deployment: Deployment
    expected: Mapping[Told, str]

    @contextmanager
    def workers(self, model: str, *options: str) -> Iterator[Workers]:
        """The means to start processes of this deployment that ask the model at `model`."""
        sets = (f"models.small.base_url={model}", *self.transport.sets, *self.deployment.settings)
        arguments = [argument for each in sets for argument in ("--set", each)]
        with workers(str(EXAMPLE), "--broker", self.transport.broker, *arguments, *options) as started:
            yield started

    def ledger(self) -> Ledger:
        topics = (self.deployment.results, self.deployment.partials, self.deployment.dead)
        return Ledger(*map(self.transport.read, topics))

    def is_told(self) -> bool:
        """Everything that has to be told is; whether more is, or is wrong, is for `verdict`."""
        return self.ledger().told().keys() >= self.expected.keys()

    def wait_until_told(self, group: Workers, seconds: float) -> None:
        """Raises AssertionError when the time is over, or as soon as a process ended by itself."""
        over = until(lambda: self.is_told() or bool(group.deserters), seconds)
        self.check_alive(group)
        assert over, self._explained(f"not everything was told after {seconds:g} s", group)

    def check_alive(self, group: Workers) -> None:
        """Nobody ended but those who were killed or told to."""
        codes = [process.returncode for process in group.deserters]
        assert not codes, self._explained(f"processes ended with {codes}", group)

    def stop(self, group: Workers) -> None:
        """SIGTERM to all; each has to release its tasks and end well."""
        codes = group.stop()
        assert codes == [0] * len(codes), self._explained(f"processes ended with {codes} after SIGTERM", group)

    def check(self, group: Workers) -> Ledger:
        """The ledger is what it has to be."""
        ledger = self.ledger()
        assert not ledger.differences(self.expected), self._explained("not what an undisturbed run tells", group)
        return ledger

    def _explained(self, what: str, group: Workers) -> str:
        differences = "\n".join(self.ledger().differences(self.expected)[:DIFFERENCES_MAX])
        return f"{what}\n{differences}\n{group.log()[-LOG_CHARACTERS_MAX:]}"

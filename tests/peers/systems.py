"""The systems in the contest: how a worker of each is started, and what its output records say.

All get the same: topics, two workers, a group of their own, the session time-out, and a folder per worker that survives it.
Peers run in virtual environments of their own.
"""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.peers.environment import HERE, Environment
from tests.peers.ledger import Told

from penstock.operators.record import Raw
from penstock.pipelines.torture_processes import PENSTOCK

SESSION_SECONDS = 6


@dataclass(frozen=True)
class Place:
    """Where one system works in one contest. `name` begins the names of its topics and of its group."""

    bootstrap: str
    name: str

    @property
    def source(self) -> str:
        return f"{self.name}.events"

    @property
    def output(self) -> str:
        return f"{self.name}.counts"

    @property
    def group(self) -> str:
        return f"{self.name}.count"


class System(ABC):
    name: str

    @abstractmethod
    def prepare(self) -> str:
        """Make it ready to run; its version. Raises CannotRun."""

    @abstractmethod
    def command(self, place: Place) -> list[str]: ...

    @abstractmethod
    def told(self, raw: Raw) -> Told | None:
        """What an output record says; None if it is about something else."""

    def environ(self, place: Place, folder: Path) -> dict[str, str]:
        return dict(os.environ)


class Penstock(System):
    name = "penstock"

    def prepare(self) -> str:
        return version("penstock")

    def command(self, place: Place) -> list[str]:
        sets = {
            "kafka.bootstrap": place.bootstrap,
            "kafka.session_timeout": f"{SESSION_SECONDS}s",
            "namespace": place.name,
            "sources.events.topic": place.source,
            "outputs.results": place.output,
        }
        options = [word for path, value in sets.items() for word in ("--set", f"{path}={value}")]
        return [*PENSTOCK, "run", str(HERE / "penstock.yaml"), "--broker", "kafka", *options]

    def told(self, raw: Raw) -> Told | None:
        result = _parsed(raw)
        if result["state"] != "final":
            return None
        values = result["why"]["values"]
        return Told(result["key"], values["total"], values["number"])


class Peer(Environment, System):
    """A framework in an environment of its own; its app reads PEER_* variables."""

    def environ(self, place: Place, folder: Path) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            "PEER_BOOTSTRAP": place.bootstrap,
            "PEER_SOURCE": place.source,
            "PEER_OUTPUT": place.output,
            "PEER_GROUP": place.group,
            "PEER_FOLDER": str(folder),
            "PEER_SESSION_SECONDS": str(SESSION_SECONDS),
        }

    def told(self, raw: Raw) -> Told | None:
        return Told(**_parsed(raw))


class Faust(Peer):
    name, package, folder = "faust", "faust-streaming", "faust"

    def command(self, place: Place) -> list[str]:
        worker = ["--workdir", str(HERE / "faust"), "-A", "faust_app", "worker", "--without-web", "-l", "info"]
        return [str(self.python), "-m", "faust", *worker]


class LenientFaust(Faust):
    """With settings under which its workers stay up, rather than those that its documents recommend."""

    name = "faust-lenient"

    def environ(self, place: Place, folder: Path) -> dict[str, str]:
        return {**super().environ(place, folder), "FAUST_LENIENT": "1"}


class Quix(Peer):
    name, package, folder = "quix", "quixstreams", "quix"

    def command(self, place: Place) -> list[str]:
        return [str(self.python), str(HERE / "quix" / "quix_app.py")]


SYSTEMS: dict[str, System] = {system.name: system for system in (Penstock(), Quix(), Faust(), LenientFaust())}


def _parsed(raw: Raw) -> Any:
    return json.loads(raw.value or b"{}")

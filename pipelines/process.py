"""What all tasks of one process share."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from penstock.connectors.port import Broker, Layout, WallClock
from penstock.operators.key_state import Counts
from penstock.operators.plan import Plan
from penstock.pipelines.admission import Admission
from penstock.pipelines.fetching import RECORDS_MAX
from penstock.pipelines.meters import Meters
from penstock.pipelines.schemas_ahead import SchemasAhead


@dataclass(slots=True)
class Process:
    """`owner` names this process in the log and in messages, `build` the version that runs, `started` is when it began (ms)."""

    plan: Plan
    layout: Layout
    broker: Broker
    admission: Admission
    clock: WallClock
    owner: str
    build: str
    started: int
    bounded: bool = False
    """The inputs end where they end now: event time ends with them."""
    batch: int = RECORDS_MAX
    """Records of one fetch at most."""
    meters: Meters = field(default_factory=Meters)
    tally: Counts = field(default_factory=Counter)
    """What was counted, as far as it is committed: what is done again after a loss does not count twice."""
    trial: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a task feeds a record that may end the process: no other record may be suspected of it."""
    schemas: SchemasAhead | None = None
    """Where sources read records whose schemas are in a registry."""
    tasks: int = 0
    """How many are open: they share the commits that are allowed per second."""

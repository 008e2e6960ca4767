"""Whose the keys of a task are: the tenant that their events name.

    events of a key     acme      ?      acme     globex      ·: a result
    tenant of the key   ├─ acme ──────·──────────┤├─ globex ─────·───
    counted                       1               1                     without a tenant, and with another one

The last kept event that names one decides, in the order in which events are fed. What was due before the event's time still
belongs to the tenant of before; a run keeps the one that it began with.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from penstock.operators.canonical import canonical_json
from penstock.operators.carried import TENANT_CELL
from penstock.operators.decode import Read
from penstock.operators.expression import Unknown
from penstock.operators.key_state import Counts, Moment
from penstock.operators.keys import Keys
from penstock.operators.plan import Plan
from penstock.operators.record import Raw
from penstock.operators.run import carried
from penstock.operators.source import Source
from penstock.operators.unsaved import Unsaved

TENANT_CHARACTERS_MAX = 1024
"""A longer name is none: it stands in every result."""


class Tenants:
    """Of a pipeline in which no source names a tenant, no key has one, and nothing is done."""

    def __init__(self, plan: Plan, unsaved: Unsaved, counters: Counts) -> None:
        self.named = plan.names_tenants
        self._unsaved, self._counters = unsaved, counters
        self._of_key: dict[str, str] = {}

    def of(self, key: str) -> str | None:
        return self._of_key.get(key)

    def take(
        self, keys: Keys, source: Source, raw: Raw, read: Read, moment: Moment | None, *, late: bool = False
    ) -> Moment | None:
        """The event is about to be kept: returns its moment with the tenant of its key. Of a late one only a key learns that has
        none."""
        key, time, _ = read
        tenant, known = self._tenant(source, raw, read), self._of_key.get(key)
        if tenant is not None and tenant != known and not (late and known is not None):
            if known is not None:
                self._counters["tenant_changed", source.name] += 1
                keys.pass_before(key, time)
            self._of_key[key] = known = tenant
            self._unsaved.tenants.add(key)
        return None if moment is None else moment.of_tenant(known)

    def _tenant(self, source: Source, raw: Raw, read: Read) -> str | None:
        """What the event says; a source that does not know of tenants says nothing, and need not be counted for it."""
        if source.tenant is None:
            return None
        key, time, event = read
        tenant = tenant_name(source.tenant(event, raw, key, time))
        if tenant is None:
            self._counters["without_tenant", source.name] += 1
        return tenant

    # --- in the log -----------------------------------------------------------------------------------------------

    def load(self, key: str, tenant: str | None) -> None:
        """Where no source names a tenant any more, nobody would notice that it has another one."""
        if tenant is None or not self.named:
            self.drop(key)
        else:
            self._of_key[key] = tenant

    def begin_anew(self, identities: Collection[str]) -> None:
        """What was restored of these is forgotten: a definition in between did not look."""
        if TENANT_CELL in identities:
            self._unsaved.tenants.update(self._of_key)
            self._of_key = {}

    def drop(self, key: str) -> None:
        """It is forgotten, or replaced by what the log says."""
        self._of_key.pop(key, None)


def tenant_name(value: Any) -> str | None:
    """Text as it is, anything else as canonical JSON; None for null, for what is unknown and for what is too long."""
    if value is None or isinstance(value, Unknown):
        return None
    name = value if isinstance(value, str) else canonical_json(carried(value))
    return name if len(name) <= TENANT_CHARACTERS_MAX else None

"""What the file puts between the edges of triggers and their runs: `inhibited_by`, `limit` and `sample`, compiled."""

from __future__ import annotations

from collections.abc import Mapping

from penstock.operators.expression import Scope, compile_expression
from penstock.operators.gates import INHIBITS, Gate
from penstock.operators.inhibition import Inhibitor, inhibitors_first
from penstock.operators.limit import Limit
from penstock.pipelines.spec import Spec


def limits_of(spec: Spec) -> dict[str, Limit]:
    """Named by trigger (the pipeline's: by none) and span: another number over the same span goes on with what was counted."""
    limits = {"": spec.limit, **{name: settings.limit for name, settings in spec.triggers.items()}}
    return {_limit_name(name, limit): limit for name, limit in limits.items() if limit is not None}


def _limit_name(trigger: str, limit: Limit) -> str:
    return f"{trigger}:{limit.span}"


def in_order(spec: Spec) -> list[str]:
    """The triggers as the file has them, only that those which inhibit others come before them."""
    return inhibitors_first({name: settings.inhibited_by for name, settings in spec.triggers.items()})


def parts_of(spec: Spec) -> dict[str, str | None]:
    """By what each trigger sees keys in parts: equal for what means the same, None where it sees whole keys."""
    scope = Scope(defines=spec.define, aggregates=False)
    return {
        name: None if settings.apart is None else compile_expression(settings.apart, scope).identity
        for name, settings in spec.triggers.items()
    }


def gate_of(spec: Spec, name: str, identity: str, parts: Mapping[str, str | None]) -> Gate:
    """`identity` is what the log calls the trigger, `parts` what `parts_of` says."""
    settings = spec.triggers[name]
    runs_limited = spec.limit is not None and spec.agent_of(name) is not None
    return Gate(
        inhibited_by=tuple(
            Inhibitor(other, parts[name] is not None and parts[other] == parts[name]) for other in settings.inhibited_by
        ),
        inhibits=f"{identity}{INHIBITS}" if any(name in each.inhibited_by for each in spec.triggers.values()) else None,
        cooldown=settings.quiet,
        limits=() if settings.limit is None else (_limit_name(name, settings.limit),),
        run_limits=(_limit_name("", spec.limit),) if runs_limited and spec.limit is not None else (),
        sample=1.0 if settings.sample is None else settings.sample,
    )

"""Nothing can last longer than its key is remembered: spans, cooldowns, waits, periods, `keep` against `context.forget`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from pydantic import ValidationError

from penstock.operators.aggregate import AGGREGATES
from penstock.operators.expression_error import ExpressionError
from penstock.operators.expression_parse import parse
from penstock.operators.expression_tree import Call, Duration, walk
from penstock.operators.schedule import Schedule
from penstock.operators.scheduled import ScheduleSettings
from penstock.operators.setting import ExpressionMark
from penstock.operators.source_watermark import WatermarkSettings
from penstock.operators.trigger import CooldownSettings
from penstock.operators.trigger_anomaly import SEASON_MS
from penstock.operators.trigger_kinds import TRIGGERS
from penstock.operators.unit import duration_ms, duration_text
from penstock.pipelines.document import Map, Node, Scalar, key_place, matching, node_at, place_of
from penstock.pipelines.lint_sequence import ends_with_not
from penstock.pipelines.problem import Code, Place, Problem
from penstock.pipelines.scalar_place import place_in
from penstock.pipelines.shape import parts
from penstock.pipelines.spec import Spec

LENGTHS = {
    "cooldown": "a cooldown",
    "for": "a wait",
    "keep_firing_for": "a wait",
    "debounce": "a wait",
    "season": "a season",
    "within": "a `within`",
    "unlike": "a memory of texts",
    "sequence.*.within": "a wait",
}
"""Fields of triggers that are durations, and what they are."""
BESIDE_TRIGGERS = {
    "sources.*.dedupe.within": "a memory of duplicates",
    "sources.*.show_every": "a stretch",
    "context.window.session": "a silence",
}


def forget_problems(root: Map) -> Iterator[Problem]:
    """Whatever would be cut short without a word because its key is forgotten before."""
    limit = _duration(node_at(root, ("context", "forget")))
    if limit:
        yield from _fields(root, limit)
        yield from _default_cooldowns(root, limit)
        yield from _schedules(root, limit)
        yield from _default_seasons(root, limit)
        yield from _spans(root, limit)
        yield from _kept(root, limit)
        yield from _late_events(root, limit)


def _fields(root: Map, limit: int) -> Iterator[Problem]:
    patterns = {**{f"triggers.*.{field}": what for field, what in LENGTHS.items()}, **BESIDE_TRIGGERS}
    for pattern, what in patterns.items():
        for path, node in matching(root, pattern):
            length = _duration(node)
            if length is not None and length > limit:
                yield _problem(node.place, f"{what} of {duration_text(length)}", length, limit, f"`{path[-1]}`")


def _default_cooldowns(root: Map, limit: int) -> Iterator[Problem]:
    """What is not written may be too long, too."""
    for path, trigger in matching(root, "triggers.*"):
        length = _default_cooldown(trigger)
        if length > limit:
            what = f"the cooldown of trigger `{path[-1]}`, which is {duration_text(length)} unless it says otherwise,"
            yield _problem(key_place(root, path), what, length, limit, "`cooldown`")


def _default_cooldown(trigger: Node) -> int:
    if not isinstance(trigger, Map) or "cooldown" in trigger.entries:
        return 0
    kinds = (settings for word, settings in TRIGGERS.items() if word in trigger.entries)
    settings = next((settings for settings in kinds if issubclass(settings, CooldownSettings)), None)
    return 0 if settings is None else int(settings.model_fields["cooldown"].default)


def _schedules(root: Map, limit: int) -> Iterator[Problem]:
    """A key that is forgotten before the schedule is due has been active for nothing."""
    for path, trigger in matching(root, "triggers.*"):
        for word, schedule in _schedule(trigger):
            pause = schedule.longest_pause()
            if pause > limit:
                what = f"the longest time between two due times of trigger `{path[-1]}`, {duration_text(pause)},"
                yield _problem(place_of(root, (*path, word)), what, pause, limit, "period")


def _schedule(trigger: Node) -> Iterator[tuple[str, Schedule]]:
    """With its kind word; nothing where there is none, or one that is not right: that is said elsewhere."""
    for word, settings in TRIGGERS.items():
        if issubclass(settings, ScheduleSettings) and isinstance(trigger, Map) and word in trigger.entries:
            written = {field: trigger.get(field) for field in (word, "zone")}
            texts = {field: node.text for field, node in written.items() if isinstance(node, Scalar)}
            with suppress(ValidationError):
                yield word, settings.model_validate(texts).schedule()


def _default_seasons(root: Map, limit: int) -> Iterator[Problem]:
    for path, trigger in matching(root, "triggers.*"):
        method = trigger.get("method") if isinstance(trigger, Map) else None
        seasonal = isinstance(method, Scalar) and method.text == "robust_seasonal"
        if seasonal and isinstance(trigger, Map) and "season" not in trigger.entries and limit < SEASON_MS:
            what = f"the season of trigger `{path[-1]}`, which is {duration_text(SEASON_MS)} unless it says otherwise,"
            yield _problem(key_place(root, path), what, SEASON_MS, limit, "`season`")


def _late_events(root: Map, limit: int) -> Iterator[Problem]:
    """What did not come by an instant would be told again: of an event of that time that comes when the key is forgotten."""
    forget = node_at(root, ("context", "forget"))
    waits = [path[1] for path, items in matching(root, "triggers.*.sequence") if ends_with_not(items)]
    for path, _ in matching(root, "sources.*") if waits and forget is not None else ():
        written = node_at(root, (*path, "watermark", "lateness"))
        lateness = _duration(written) if written is not None else WatermarkSettings().lateness
        if lateness is not None and lateness > limit:
            of_source = f"the `lateness` of source `{path[1]}`, {duration_text(lateness)}"
            what = f"{of_source}, which the `not` of trigger `{waits[0]}` needs,"
            yield _problem(place_of(root, ("context", "forget")), what, lateness, limit, "`lateness`")


def _spans(root: Map, limit: int) -> Iterator[Problem]:
    for part in parts(Spec, root):
        if part.mark(ExpressionMark) is not None and isinstance(part.node, Scalar):
            for name, span in _spans_in(part.node.text):
                if span.ms > limit:
                    what = f"the span of `{name}`, {duration_text(span.ms)},"
                    yield _problem(place_in(part.node, span.place.offset), what, span.ms, limit, "span")


def _kept(root: Map, limit: int) -> Iterator[Problem]:
    """What is shown of a key goes with it."""
    node = node_at(root, ("outputs", "latest", "keep"))
    length = _duration(node)
    if node is not None and length is not None and length > limit:
        yield _problem(node.place, f"a case kept for {duration_text(length)}", length, limit, "`keep`")


def _spans_in(text: str) -> Iterator[tuple[str, Duration]]:
    """What the text itself says: definitions that it names are looked at where they stand."""
    try:
        tree = parse(text)
    except ExpressionError:
        return
    for node in walk(tree):
        if isinstance(node, Call) and node.name in AGGREGATES:
            yield from ((node.name, argument) for argument in node.arguments if isinstance(argument, Duration))


def _problem(place: Place, what: str, length: int, limit: int, field: str) -> Problem:
    message = f"{what} is longer than `forget`: the key would be forgotten before it is over"
    expected = f"a {field} of {duration_text(limit)} at most, or `context.forget` of {duration_text(length)} or more"
    return Problem(Code.FORGETS_TOO_SOON, place, message, expected=expected)


def _duration(node: Node | None) -> int | None:
    """None where it is none: that is said elsewhere."""
    try:
        return duration_ms(node.text) if isinstance(node, Scalar) else None
    except ValueError:
        return None

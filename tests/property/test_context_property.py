"""What one key remembers, against a plain list of everything that was ever appended."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from penstock.operators.context import Context, ContextSettings

SETTINGS = [
    {"window": {"events": 5, "last": "10s", "tokens": 100}, "evict": "40%", "summary": "rule"},
    {"window": {"events": 1, "last": "1s", "tokens": 100}, "evict": "1%", "summary": "rule"},
    {"window": {"events": 50, "last": "30s", "tokens": 150}, "evict": "25%"},
    {"window": {"events": 7, "last": "1h"}, "evict": "100%", "summary": "rule"},
    {"window": {"events": 500, "last": "6s"}, "evict": "50%", "summary": "rule"},
    {"window": {"events": 9, "session": "2s"}, "evict": "40%", "summary": "rule"},
    {"window": {"events": 50, "last": "15s", "session": "3s", "tokens": 150}, "evict": "25%", "summary": "rule"},
]
STEPS_MS = [0, 0, 500, 1000, 2500]
LAGS_MS = [0, 0, 0, 500, 1000, 4000, 20_000]
SIZES = [0, 1, 2, 20, 60, 120, 380, 400, 900]
settings_drawn = st.sampled_from(SETTINGS).map(ContextSettings.model_validate)


class Append(NamedTuple):
    time: int
    line: bytes
    now: int


@st.composite
def appends_drawn(draw: st.DrawFn) -> list[Append]:
    now, appends = 0, []
    for number in range(draw(st.integers(0, 40))):
        now += draw(st.sampled_from(STEPS_MS))
        time = now - draw(st.sampled_from(LAGS_MS))
        line = b'{"n":%d,"x":"%s"}' % (number, b"x" * draw(st.sampled_from(SIZES)))
        appends.append(Append(time, line, now))
    return appends


def of_session(settings: ContextSettings, appends: list[Append]) -> list[Append]:
    """Those of the present session, all gone through again."""
    gap, session = settings.window.session, list[Append]()
    for append in appends:
        times = [each.time for each in session] or [append.time]
        if gap is not None and append.time - max(times) >= gap:
            session = []
        elif gap is not None and min(times) - append.time >= gap:
            continue
        session.append(append)
    return session


def filled(settings: ContextSettings, appends: list[Append]) -> Context:
    context = Context(settings)
    for append in appends:
        context.append(*append)
    return context


@given(settings_drawn, appends_drawn())
def test_the_window_never_shows_more_than_its_limits(settings: ContextSettings, appends: list[Append]) -> None:
    context, limits = Context(settings), settings.limits
    for append in appends:
        context.append(*append)
        view = context.view(append.now)
        lines = context.lines(view.first, view.last)
        assert len(lines) == view.events <= limits.events
        assert sum(map(len, lines)) + len(lines) <= limits.size
        assert view.from_time is None or view.from_time > append.now - limits.last


@given(settings_drawn, appends_drawn())
def test_the_newest_events_are_shown_without_a_gap_and_the_last_one_always(
    settings: ContextSettings, appends: list[Append]
) -> None:
    context = Context(settings)
    for number, append in enumerate(appends, start=1):
        context.append(*append)
        session = of_session(settings, appends[:number])
        fresh = [each.line for each in session if each.time > each.now - settings.limits.last]
        view = context.view(append.now)
        lines = context.lines(view.first, view.last)
        uncut = [line for line in lines if b'"cut"' not in line]
        assert [line for line in fresh[len(fresh) - len(lines) :] if len(line) < settings.limits.size] == uncut
    if appends and appends[-1].time == appends[-1].now:
        assert context.view(appends[-1].now).events >= 1


@given(appends_drawn(), st.sampled_from(["1s", "3s", "8s"]), st.sampled_from(["none", "rule"]), st.data())
def test_a_session_is_shown_as_a_whole_where_nothing_else_limits_the_window(
    appends: list[Append], gap: str, summary: str, data: Any
) -> None:
    window = {"session": gap, "events": 1000, "tokens": 100_000}
    settings = ContextSettings.model_validate({"window": window, "summary": summary})
    context = Context(settings)
    for number, append in enumerate(appends, start=1):
        context.append(*append)
        if data.draw(st.booleans()):
            context, dumped = Context(settings), context.dump()
            context.load(msgspec.msgpack.decode(msgspec.msgpack.encode(dumped)))
        view = context.view(append.now)
        session = of_session(settings, appends[:number])
        assert context.lines(view.first, view.last) == [each.line for each in session]
        gone = number - len(session) if summary == "rule" else 0
        assert view.summary.startswith(f"Earlier: {gone} event" if gone else "")


@given(settings_drawn, appends_drawn(), st.data())
def test_looking_never_changes_what_is_remembered(settings: ContextSettings, appends: list[Append], data: Any) -> None:
    looked = Context(settings)
    for append in appends:
        looked.append(*append)
        if data.draw(st.booleans()):
            looked.view(append.now)
    unlooked = filled(settings, appends)
    if appends:
        assert looked.view(appends[-1].now) == unlooked.view(appends[-1].now)
    assert looked.dump() == unlooked.dump()


@given(settings_drawn, appends_drawn(), st.data())
def test_looking_ahead_of_the_next_append_changes_nothing_after_it(
    settings: ContextSettings, appends: list[Append], data: Any
) -> None:
    looked = Context(settings)
    for append, following in pairwise(appends):
        looked.append(*append)
        looked.view(data.draw(st.integers(append.now, following.now)))
    if appends:
        looked.append(*appends[-1])
    assert looked.dump() == filled(settings, appends).dump()


@given(settings_drawn, appends_drawn(), st.data())
def test_restoring_at_any_point_and_going_on_is_as_never_restoring(
    settings: ContextSettings, appends: list[Append], data: Any
) -> None:
    cut = data.draw(st.integers(0, len(appends)))
    pinned = data.draw(st.integers(0, 20))
    before = Context(settings)
    before.pin("run", pinned)
    for append in appends[:cut]:
        before.append(*append)
    restored = Context(settings)
    restored.load(msgspec.msgpack.decode(msgspec.msgpack.encode(before.dump())))
    assert restored.dump() == before.dump()
    for append in appends[cut:]:
        before.append(*append)
        restored.append(*append)
    assert restored.dump() == before.dump()
    assert restored.lines(pinned, -1) == []


@given(settings_drawn, appends_drawn(), st.data())
def test_what_a_run_pinned_stays_readable_whatever_comes(
    settings: ContextSettings, appends: list[Append], data: Any
) -> None:
    cut = data.draw(st.integers(0, len(appends)))
    context = filled(settings, appends[:cut])
    view = context.view(appends[cut - 1].now if cut else 0)
    lines = context.lines(view.first, view.last)
    context.pin("run", view.first)
    for append in appends[cut:]:
        context.append(*append)
    assert context.lines(view.first, view.last) == lines
    context.unpin("run")
    context.load(context.dump())
    assert context.dump()[2] == []

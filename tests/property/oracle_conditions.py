"""Conditions over an event and over the past of a key, for the file and for the oracle."""

from __future__ import annotations

from functools import cache

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from tests.oracle.formula import Both, Compare, Field, Formula, Has, Literal, Named, Not, Plus, RecordTime, Span
from tests.property.oracle_world import BEGINNINGS, FAILED, SECOND, V

SIGNS = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
SPANS = st.integers(1, 8).map(lambda seconds: seconds * SECOND)


@cache
def of_event() -> SearchStrategy[Formula]:
    """Conditions over one event."""
    simple: SearchStrategy[Formula] = st.one_of(
        st.sampled_from([FAILED, Has("x"), Has("v"), Compare(Field("x"), "!=", Literal("b"))]),
        st.builds(Compare, st.just(V), SIGNS, st.integers(-1, 4).map(Literal)),
        st.just(Named("failed", FAILED)),
        st.sampled_from([beginning + 9 * SECOND for beginning in BEGINNINGS]).map(
            lambda time: Compare(RecordTime(), "<", Literal(time))
        ),
    )
    return composed(simple)


@cache
def of_spans() -> SearchStrategy[Formula]:
    """Conditions over the past of a key, some with a look at its last event."""
    where = st.one_of(st.none(), st.sampled_from([FAILED, Has("x"), Named("failed", FAILED)]))
    counts = st.builds(Span, st.just("count"), st.sampled_from([FAILED, Has("x"), Has("v"), Literal(True)]), SPANS)
    values = st.builds(Span, st.sampled_from(["sum", "avg", "min", "max", "rate"]), st.just(V), SPANS, where)
    distinct = st.builds(Span, st.just("distinct"), st.sampled_from([V, Field("x")]), SPANS, where)
    ends = st.builds(Span, st.sampled_from(["first", "last"]), st.sampled_from([V, V, Field("x")]), SPANS, where)
    quantile = st.builds(Span, st.just("quantile"), st.just(V), SPANS, where, st.sampled_from([0, 0.25, 0.5, 0.75, 1]))
    limits = st.sampled_from([0, 1, 2, 3, 4, 0.5]).map(Literal)
    sums = st.builds(Plus, counts, st.one_of(counts, distinct))
    span = st.one_of(counts, counts, values, distinct, ends, quantile, sums)
    named = st.builds(Named, st.just("failures"), st.just(Span("count", FAILED, 5 * SECOND)))
    return composed(st.builds(Compare, st.one_of(span, named), SIGNS, limits))


def composed(simple: SearchStrategy[Formula]) -> SearchStrategy[Formula]:
    both = st.builds(Both, simple, st.sampled_from(["&&", "||"]), simple)
    return st.one_of(simple, simple, both, st.builds(Not, simple))


@cache
def mixed() -> SearchStrategy[Formula]:
    return st.one_of(of_spans(), of_spans(), st.builds(Both, of_spans(), st.sampled_from(["&&", "||"]), of_event()))

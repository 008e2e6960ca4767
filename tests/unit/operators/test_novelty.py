"""Distances of vectors, and what a key remembers of them."""

from __future__ import annotations

from math import sqrt
from random import Random
from typing import Any

import pytest
from tests.oracle.stand import Stand

from penstock.operators.event import Answered, Ask, Effect, EmbedRequest, Usage
from penstock.operators.novelty import SEEN_MAX, Novelty, Seen, distance, quantised
from penstock.operators.watermark import NEVER

FILE = """
penstock: v1
name: logs
sources:
  auth: {topic: auth, key: event.host, time: {at: event.t, unit: s}, watermark: {delay: 0s, idle: never, lateness: 5s}}
triggers:
  new: {semantic: event.body, where: event.level > 2, model: embed, unlike: 60s, threshold: 0.35, agent: none}
models:
  embed: {base_url: "http://127.0.0.1:9/v1", model: bge, kind: embedding, request: {truncate: 9}, price: {input: 1, output: 0}}
"""
EAST, NORTH, NORTHEAST, NEARLY_EAST = (1.0, 0.0), (0.0, 1.0), (0.7, 0.7), (1.0, 0.1)


def asks(effects: list[Effect]) -> list[Ask]:
    return [effect for effect in effects if isinstance(effect, Ask)]


def tell(stand: Stand, time: int, body: str, vector: tuple[float, ...]) -> list[dict[str, Any]]:
    """An event is fed and judged; what is told then."""
    for ask in asks(stand.feed(stand.event(time, body=body, level=3))):
        stand.task.feed(Answered(ask.call_id, "", "stop", Usage(5, 0, 0), vector=vector))
    return [result["why"]["values"] for result in stand.results(stand.cut())]


def test_the_vector_of_a_text_is_asked_for() -> None:
    stand = Stand(FILE)
    assert asks(stand.feed(stand.event(0, body="fine", level=1))) == []
    [ask] = asks(stand.feed(stand.event(1, body="disk full", level=3)))
    assert isinstance(ask.request, EmbedRequest)
    assert (ask.request.model, ask.request.parameters) == ("bge", {"truncate": 9})
    assert [message.content for message in ask.request.messages] == ["disk full"]


def test_what_is_unlike_everything_so_far_fires() -> None:
    """distance    a 1 (there is nothing)   b 0 of a   c 0.29 of a   d 1 of a"""
    stand = Stand(FILE)
    assert tell(stand, 1, "a", EAST) == [{"distance": 1}]
    assert tell(stand, 2, "b", EAST) == []
    assert tell(stand, 3, "c", NORTHEAST) == []
    assert tell(stand, 4, "d", (-1.0, 0.0)) == [{"distance": pytest.approx(1.70711, abs=1e-5)}]
    assert tell(stand, 5, "e", NORTH) == [], "it is near to c"


def test_it_is_unlike_what_it_was_like_too_long_ago() -> None:
    """a at 0s is over at 60s, but for those that are the same, such as b at 30s."""
    stand = Stand(FILE)
    assert tell(stand, 0, "a", EAST) == [{"distance": 1}]
    assert tell(stand, 0, "n", NORTH) == [{"distance": 1}]
    assert tell(stand, 30, "b", NEARLY_EAST) == []
    assert tell(stand, 60, "n", NORTH) == [{"distance": 1}]
    assert tell(stand, 89, "a", EAST) == []
    assert tell(stand, 149, "a", EAST) == [{"distance": 1}]


def test_what_it_has_seen_survives_a_restart() -> None:
    stand = Stand(FILE)
    assert tell(stand, 1, "a", EAST) == [{"distance": 1}]
    stand.snapshot(0, 1)
    stand.trim()
    stand.reopen()
    assert tell(stand, 2, "b", EAST) == []
    assert tell(stand, 3, "c", NORTH) == [{"distance": 1}]


def test_what_the_cooldown_holds_back_is_remembered_all_the_same() -> None:
    stand = Stand(FILE.replace("unlike:", "cooldown: 10s, unlike:"))
    assert tell(stand, 1, "a", EAST) == [{"distance": 1}]
    assert tell(stand, 2, "b", NORTH) == []
    assert stand.task.counters["suppressed", "new"] == 1
    assert tell(stand, 12, "c", NORTH) == []


def test_a_vector_without_a_direction_says_nothing() -> None:
    stand = Stand(FILE)
    for vector in ((), (0.0, 0.0), (float("nan"), 1.0), (float("inf"), 1.0)):
        assert tell(stand, 1, str(vector), vector) == []
    assert stand.task.counters["unjudged", "new"] == 4


def test_vectors_of_another_length_are_not_compared() -> None:
    stand = Stand(FILE)
    assert tell(stand, 1, "a", EAST) == [{"distance": 1}]
    assert tell(stand, 2, "b", (1.0, 0.0, 0.0)) == [{"distance": 1}]


def test_the_oldest_go_first_and_the_same_again_takes_no_room() -> None:
    novelty, seen = Novelty(1000, 0.35), ()
    rare, often = quantised([1.0] + [0.0] * 99), quantised([0.0] * 99 + [1.0])
    found, remembered = novelty.decide(0, rare, seen)
    for now in range(1, 500):
        _, remembered = novelty.decide(now, often, remembered)
    assert [each.vector for each in remembered] == [rare, often]
    assert novelty.decide(500, rare, remembered)[0] is None
    for now in range(1, SEEN_MAX + 1):
        found, remembered = novelty.decide(500 + now, quantised([0.0] * now + [1.0] + [0.0] * (99 - now)), remembered)
    assert len(remembered) == SEEN_MAX
    assert found == {"distance": 1}
    assert novelty.decide(600, rare, remembered)[0] == {"distance": 1}, "it was pushed out"


def test_it_is_over_when_the_last_one_is_too_old() -> None:
    novelty = Novelty(1000, 0.35)
    assert novelty.over(()) == NEVER
    assert novelty.over((Seen(-1000, b"a", 97.0),)) == 0
    assert novelty.over((Seen(5, b"a", 97.0), Seen(7, b"b", 98.0))) == 1007


def test_one_byte_per_number_is_near_enough() -> None:
    """Of 1,024 numbers, as embedding models give them: distances are off by less than a thousandth."""
    random = Random(7)
    for _ in range(20):
        one = [random.gauss(0, 1) for _ in range(1024)]
        other = [number + random.gauss(0, random.choice([0.1, 0.5, 1, 3])) for number in one]
        product = sum(a * b for a, b in zip(one, other, strict=True))
        exact = 1 - product / sqrt(sum(a * a for a in one) * sum(b * b for b in other))
        assert distance(quantised(one), quantised(other)) == pytest.approx(exact, abs=1e-3)

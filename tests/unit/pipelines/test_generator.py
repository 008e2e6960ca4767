"""The generated stream: reproducible, readable, and its attacks are where it says that they are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

from penstock.operators.record import DeadLetter, Record
from penstock.pipelines.compile import compile_pipeline
from penstock.pipelines.generator import START, SshdLog
from penstock.pipelines.load import load_pipeline


def test_one_seed_gives_the_same_lines_and_another_one_others() -> None:
    assert list(SshdLog(1, 1).lines()) == list(SshdLog(1, 1).lines())
    assert list(SshdLog(1, 1).lines()) != list(SshdLog(2, 1).lines())


def test_it_lasts_as_long_as_it_is_asked_to() -> None:
    begin, minutes = int(START.timestamp() * 1000), 30
    times = [line.time - begin for line in SshdLog(3, minutes / 60).lines()]
    assert min(times) >= 0
    assert minutes / 2 < max(times) / 60_000 < minutes + 3


def test_lines_are_late_by_seconds_at_most() -> None:
    lines = list(SshdLog(1, 3).lines())
    assert max(one.time - other.time for one, other in pairwise(lines)) < 5_000


def test_it_begins_when_it_is_told_to() -> None:
    start = datetime(2025, 1, 6, 23, 59, tzinfo=UTC)
    first = next(SshdLog(1, 1, start=start).lines())
    assert timedelta() <= datetime.fromtimestamp(first.time / 1000, UTC) - start < timedelta(hours=1)
    assert first.text.startswith("Jan  ")


def test_every_brute_force_shows_in_the_lines_of_its_host_and_address() -> None:
    log = SshdLog(1, 6)
    lines = list(log.lines())
    attacks = [episode for episode in log.episodes if episode.kind == "brute_force"]
    assert len(attacks) > 3
    for episode in attacks:
        during = [line for line in lines if line.host == episode.host and episode.start <= line.time <= episode.end]
        assert sum(f"from {episode.ip} " in line.text and "Failed password" in line.text for line in during) >= 20


def test_the_ssh_example_reads_every_line_as_it_was_meant() -> None:
    example = Path(str(files("penstock.pipelines").joinpath("examples", "ssh_watch.yaml")))
    source = compile_pipeline(load_pipeline([example], environ={})).plan.sources[0]
    for offset, line in enumerate(SshdLog(4, 1).lines()):
        read = source.decode(Record(source.topic, 0, offset, line.time, None, line.text.encode()))
        assert not isinstance(read, DeadLetter)
        assert read[0] == line.host
        assert read[1] == line.time // 1000 * 1000

"""A changed file is a restart: what the log's state cannot follow is refused, everything else goes on."""

from __future__ import annotations

from tests.stage import WATCH, Stage, compiled, logins

from penstock.connectors.embedded_store import Write
from penstock.state.delta import FORMAT

VIRTUAL_TIME = True
EVENTS = logins(seed=3, count=60)


async def test_a_key_that_state_cannot_follow_is_refused_before_anything_is_written() -> None:
    stage = await Stage().open()
    await stage.produce(EVENTS[:30])
    assert (await stage.play()).exit_code == 0
    written = await stage.records(stage.pipeline.layout.log)
    stage.pipeline = compiled(WATCH.replace("event.host", "event.user"))
    summary = await stage.play()
    assert summary.exit_code == 4
    assert "dev.watch.log/0" in summary.problem
    assert "the key of topic auth was event.host and is event.user now" in summary.problem
    assert "another name or namespace" in summary.problem
    assert await stage.records(stage.pipeline.layout.log) == written


async def test_the_former_file_goes_on_as_if_nothing_had_been() -> None:
    undisturbed, stage = await Stage().open(), await Stage().open()
    for each in (undisturbed, stage):
        await each.produce(EVENTS[:30])
        await each.play()
    stage.pipeline = compiled(WATCH.replace("event.host", "event.user"))
    assert (await stage.play()).exit_code == 4
    stage.pipeline = compiled(WATCH)
    for each in (undisturbed, stage):
        await each.produce(EVENTS[30:])
        assert (await each.play()).exit_code == 0
    assert (await stage.told()).outcomes == (await undisturbed.told()).outcomes


async def test_a_log_of_a_newer_version_is_refused_with_a_sentence() -> None:
    stage = await Stage().open()
    await stage.play()
    header = (("penstock", b"%d and all else is new" % (FORMAT + 1)),)
    await stage.cluster.append(Write(stage.pipeline.layout.log, 0, b"delta", b"", header, 0))
    summary = await stage.play()
    assert summary.exit_code == 4
    assert (
        f"the log is written in format {FORMAT + 1}, this version of Penstock knows up to {FORMAT}" in summary.problem
    )
    assert "run the version that wrote it, or a newer one" in summary.problem

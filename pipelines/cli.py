"""The command line. Every command is one function here (that of `backtest` in `cli_backtest.py`), which says what it
takes, and one module `command_*.py` with the work.

Modules are imported when their command runs: `penstock --help` has to be there at once.

Exit codes: 0 fine, and after a clean SIGTERM; 1 the file, the data or a gate says no; 2 usage, an option's value among it;
3 the outside world (a retry may help); 4 refused for the sake of the state (it does not); 130 second Ctrl-C.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from penstock.pipelines.cli_backtest import backtest
from penstock.pipelines.cli_options import BrokerUrl, EnvFile, File, Json, Overlays, Sets

app = typer.Typer(
    name="penstock",
    help="Streaming agentic reasoning over event streams: remembers per key, decides when thinking is worth its price.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
topics = typer.Typer(help="The topics of a pipeline.", no_args_is_help=True)
app.add_typer(topics, name="topics")


@app.command(epilog="Example: penstock init watch")
def init(
    folder: Annotated[Path, typer.Argument(help="Where; made if it is not there.")] = Path(),
) -> None:
    """Write a first pipeline, a scenario for it, and their schemas for editors."""
    from penstock.pipelines.command_init import init

    init(folder)


@app.command(epilog="Example: penstock check pipeline.yaml --sample recording.jsonl")
def check(
    file: File,
    overlay: Overlays = None,
    set_: Sets = None,
    env_file: EnvFile = None,
    json: Json = False,
    format: Annotated[str, typer.Option(help="text or github.")] = "text",
    resolved: Annotated[
        bool, typer.Option("--resolved", help="Print the file as it takes effect, secrets masked.")
    ] = False,
    sample: Annotated[
        Path | None, typer.Option(help="A recording: how often is every expression true, false, unknown?")
    ] = None,
    source: Annotated[str | None, typer.Option(help="Which source the sample is of; default: the only one.")] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="OLD",
            help="The file that runs now, read with the same overlays and variables: what can its state follow?",
        ),
    ] = None,
    connect: Annotated[bool, typer.Option("--connect", help="Also ask the brokers and the model servers.")] = False,
    broker: BrokerUrl = "kafka",
) -> None:
    """Every problem of the file at once, with line and column. Opens nothing unless it is told to."""
    from penstock.pipelines.command_check import check
    from penstock.pipelines.loading import load

    loaded = load(file, overlay, set_, env_file)
    check(
        loaded,
        json=json,
        format=format,
        resolved=resolved,
        sample=sample,
        source=source,
        against=None if against is None else load(against, overlay, set_, env_file),
        connect=connect,
        broker=broker,
    )


@app.command("test", epilog="Example: penstock test pipeline.yaml -k takeover")
def play_scenarios(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE]...",
            help="Pipelines, files of scenarios or folders; default: every *.test.yaml below the current folder.",
            show_default=False,
        ),
    ] = None,
    overlay: Overlays = None,
    set_: Sets = None,
    env_file: EnvFile = None,
    json: Json = False,
    junit: Annotated[Path | None, typer.Option(help="Also write JUnit's XML here.")] = None,
    name: Annotated[
        str | None, typer.Option("-k", metavar="TEXT", help="Only scenarios with this text in their names.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Again whenever a file changes, until Ctrl-C.")] = False,
) -> None:
    """Play the scenarios beside pipelines: events in, firings and results out; no Kafka, no model, no clock."""
    from penstock.pipelines.command_test import PlayOptions, play_scenarios
    from penstock.pipelines.scenario_file import Options

    loading = Options(overlay or (), set_ or (), env_file)
    play_scenarios(PlayOptions(files or (), loading, name=name, json=json, junit=junit, watch=watch))


app.command(epilog="Example: penstock backtest pipeline.yaml --input recording.jsonl --against candidate.yaml")(
    backtest
)


@app.command(epilog="Example: penstock run pipeline.yaml --listen :9464")
def run(
    file: File,
    overlay: Overlays = None,
    set_: Sets = None,
    env_file: EnvFile = None,
    json: Json = False,
    broker: BrokerUrl = "kafka",
    listen: Annotated[str | None, typer.Option(help="[HOST]:PORT for /livez /readyz /metrics.")] = None,
    until_idle: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="End when nothing was left to do for so long.")
    ] = None,
    fail_on: Annotated[
        str | None,
        typer.Option(
            metavar="WORDS",
            help="For batch use: end with 1 if there were dead letters, failed or degraded results; "
            "WORDS are dead, failed, degraded, with commas.",
            show_default=False,
        ),
    ] = None,
    batch: Annotated[int, typer.Option(help="Most records per fetch and input.", min=1, hidden=True)] = 2000,
    claim: Annotated[
        int,
        typer.Option(
            hidden=True, help="For tests of fencing: believe that tasks 0 to N-1 are ours, whatever others say."
        ),
    ] = 0,
    unsafe_read_before_fence: Annotated[
        bool, typer.Option(hidden=True, help="For a negative control in tests.")
    ] = False,
) -> None:
    """Work until SIGTERM or Ctrl-C."""
    from penstock.pipelines.command_run import RunOptions, run
    from penstock.pipelines.fail_on import parse_fail_on
    from penstock.pipelines.loading import load

    options = RunOptions(
        broker=broker,
        listen=listen,
        until_idle=until_idle,
        fail_on=parse_fail_on(fail_on),
        batch=batch,
        claim=claim,
        unsafe_read_before_fence=unsafe_read_before_fence,
        json=json,
    )
    run(load(file, overlay, set_, env_file), options)


@app.command(epilog="Example: penstock demo pipeline.yaml --input recording.jsonl")
def demo(
    file: Annotated[Path | None, typer.Argument(help="A pipeline; default: the one that watches sshd.")] = None,
    overlay: Overlays = None,
    set_: Sets = None,
    env_file: EnvFile = None,
    json: Annotated[bool, typer.Option("--json", help="End with one object; print nothing else.")] = False,
    input: Annotated[Path | None, typer.Option(help="Stream a recording (jsonl, csv, text) instead.")] = None,
    source: Annotated[str | None, typer.Option(help="Which source the recording is of; default: the only one.")] = None,
    seed: Annotated[int, typer.Option(help="Of the generated stream.")] = 1,
    hours: Annotated[float, typer.Option(help="How much of it.")] = 3.0,
    live: Annotated[bool, typer.Option("--live", help="Ask the file's models instead of the simulated one.")] = False,
    db: Annotated[Path | None, typer.Option(help="Keep the embedded broker's file here.")] = None,
) -> None:
    """Watch decisions arrive: a pipeline on the embedded broker, with a simulated model; needs no Kafka and no GPU."""
    from penstock.pipelines.command_demo import DemoOptions, demo

    options = DemoOptions(
        file=file, overlays=overlay or [], sets=set_ or [], env_file=env_file, json=json, input=input, source=source,
        seed=seed, hours=hours, live=live, db=db,
    )  # fmt: skip
    demo(options)


@app.command(epilog="Example: penstock feed pipeline.yaml --input recording.jsonl --broker sqlite:watch.db")
def feed(
    file: File,
    overlay: Overlays = None,
    set_: Sets = None,
    env_file: EnvFile = None,
    input: Annotated[
        Path | None, typer.Option(help="A recording (jsonl, csv, text); default: generated lines of sshd.")
    ] = None,
    source: Annotated[str | None, typer.Option(help="Which source it is for; default: the only one.")] = None,
    hours: Annotated[float, typer.Option(help="How many hours of generated lines, up to now.")] = 3.0,
    seed: Annotated[int, typer.Option(help="Of the generated lines.")] = 1,
    broker: BrokerUrl = "kafka",
) -> None:
    """Write a recording to the topic of a source, keyed as the file says."""
    from penstock.pipelines.command_feed import FeedOptions, feed
    from penstock.pipelines.loading import load

    feed(load(file, overlay, set_, env_file), FeedOptions(input, source, broker, hours, seed))


@app.command(epilog="Example: penstock tail pipeline.yaml --topic dead")
def tail(
    file: File,
    overlay: Overlays = None,
    set_: Sets = None,
    env_file: EnvFile = None,
    json: Annotated[bool, typer.Option("--json", help="One record a line, as it is.")] = False,
    topic: Annotated[str, typer.Option(help="results, partials, dead, latest, or the topic of a route.")] = "results",
    until_idle: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="End when nothing came for so long.")
    ] = None,
    broker: BrokerUrl = "kafka",
) -> None:
    """Print results as they come, from the beginning."""
    from penstock.pipelines.command_tail import tail
    from penstock.pipelines.loading import load

    tail(load(file, overlay, set_, env_file), topic=topic, json=json, broker=broker, until_idle=until_idle)


@topics.command("plan", epilog="Example: penstock topics plan pipeline.yaml")
def topics_plan(
    file: File, overlay: Overlays = None, set_: Sets = None, env_file: EnvFile = None, json: Json = False
) -> None:
    """What is there, what is missing, what is set up wrongly. Changes nothing."""
    from penstock.pipelines.command_topics import topics
    from penstock.pipelines.loading import load

    topics(load(file, overlay, set_, env_file), apply=False, json=json)


@topics.command("apply", epilog="Example: penstock topics apply pipeline.yaml")
def topics_apply(
    file: File, overlay: Overlays = None, set_: Sets = None, env_file: EnvFile = None, json: Json = False
) -> None:
    """Create what is missing; sources never."""
    from penstock.pipelines.command_topics import topics
    from penstock.pipelines.loading import load

    topics(load(file, overlay, set_, env_file), apply=True, json=json)


@app.command(epilog="Example: penstock schema --asyncapi pipeline.yaml")
def schema(
    what: Annotated[str, typer.Argument(help="file, test (files of scenarios) or result.")] = "file",
    asyncapi: Annotated[
        Path | None, typer.Option(help="AsyncAPI 3 document of this pipeline's topics instead.")
    ] = None,
) -> None:
    """JSON Schema of the file, of its scenarios or of results."""
    from penstock.pipelines.command_schema import schema

    schema(what, asyncapi)


@app.command(epilog="Example: penstock render pipeline.yaml --sample recording.jsonl --at 1")
def render(
    file: File,
    sample: Annotated[Path, typer.Option(help="A recording to feed.", show_default=False)],
    at: Annotated[int | None, typer.Option(min=1, help="Show the n-th prompt; default: the last one.")] = None,
    overlay: Overlays = None,
    set_: Sets = None,
    env_file: EnvFile = None,
    json: Json = False,
    source: Annotated[str | None, typer.Option(help="Which source the sample is of; default: the only one.")] = None,
) -> None:
    """The exact prompt that a recording leads to, its tokens, and how much of it a prefix cache would have."""
    from penstock.pipelines.command_render import render
    from penstock.pipelines.loading import load

    render(load(file, overlay, set_, env_file), sample=sample, at=at, source=source, json=json)


@app.command("fake-model", epilog="Example: penstock fake-model --listen 127.0.0.1:8000 --tokens-per-second 80")
def fake_model(
    listen: Annotated[str, typer.Option(help="HOST:PORT; port 0 takes a free one.")] = "127.0.0.1:8000",
    tokens_per_second: Annotated[float | None, typer.Option(help="Per stream; default: as fast as it goes.")] = None,
    ttft: Annotated[float, typer.Option(help="Seconds until the first token.")] = 0.0,
    max_num_seqs: Annotated[int, typer.Option(help="Streams that generate at once.")] = 256,
    max_num_queued_reqs: Annotated[
        int | None, typer.Option(help="More than so many waiting are refused with 503.")
    ] = None,
    priorities: Annotated[bool, typer.Option("--priorities", help="As vLLM's --scheduling-policy priority.")] = False,
    answers: Annotated[Path | None, typer.Option(help="YAML list of {when, answer}.")] = None,
    fault: Annotated[str, typer.Option(help="Break some answers, such as cut=0.1,busy=0.05: see docs/models.md.")] = "",
    seed: Annotated[int, typer.Option(help="Of the faults.")] = 0,
    log: Annotated[Path | None, typer.Option(help="Note every call in this file, as JSON lines.")] = None,
) -> None:
    """A server that speaks vLLM's protocol and has no model: every answer is labelled as simulated."""
    from penstock.pipelines.command_fake_model import serve

    serve(
        listen=listen, tokens_per_second=tokens_per_second, ttft=ttft, max_num_seqs=max_num_seqs,
        max_num_queued_reqs=max_num_queued_reqs, priorities=priorities, answers=answers, fault=fault, seed=seed,
        log=log,
    )  # fmt: skip


@app.command(epilog="Example: penstock torture --cycles 50 --brokers 3")
def torture(
    cycles: Annotated[int, typer.Option(help="Slices of events, each with one fault or two.", min=1)] = 15,
    brokers: Annotated[int, typer.Option(help="Local brokers to start and to strike: 1 or 3.")] = 1,
    kafka: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="An existing Kafka instead; its brokers are left alone.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Alive between faults.", min=1)] = 3,
    events_per_cycle: Annotated[int, typer.Option(help="Spread evenly over a cycle.", min=1)] = 2000,
    faults: Annotated[
        str | None, typer.Option(help="Some of kill,stop,term,rolling,join_leave,scale,broker_kill,broker_stop,power.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of events and faults.")] = 1,
    json: Annotated[bool, typer.Option("--json", help="End with one object; print nothing else.")] = False,
) -> None:
    """Strike real workers and brokers while events flow, and check from outside that nothing is lost, doubled or contradicted.

    Needs a Kafka: its jars (`make jars`, or KAFKA_HOME) and java, or --kafka.
    """
    from penstock.pipelines.command_torture import TortureOptions, torture

    options = TortureOptions(
        cycles=cycles, brokers=brokers, kafka=kafka, workers=workers, events_per_cycle=events_per_cycle, faults=faults,
        seed=seed, json=json,
    )  # fmt: skip
    torture(options)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("penstock"))
        raise typer.Exit


@app.callback()
def _about(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it and end.")
    ] = False,
) -> None: ...


def main(arguments: list[str] | None = None) -> None:
    """Entry point: whatever goes wrong in a known way is one sentence on stderr and an exit code, never a traceback."""
    try:
        app(arguments, prog_name="penstock")
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)
    except Exception as error:  # noqa: BLE001 - whatever it is, a person gets a sentence
        sys.exit(_explain(error))


def _explain(error: Exception) -> int:
    """One sentence on stderr; returns the exit code. PENSTOCK_TRACEBACK=1 shows where a bug is."""
    from penstock.operators.error import PenstockError

    if isinstance(error, PenstockError):
        typer.echo(f"penstock: {error}", err=True)
        return error.exit_code
    if os.environ.get("PENSTOCK_TRACEBACK"):
        raise error
    what = f"{type(error).__name__}: {error}"
    typer.echo(f"penstock: a bug in Penstock: {what} (please report it; PENSTOCK_TRACEBACK=1 shows where)", err=True)
    return 1

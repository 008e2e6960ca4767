"""What Penstock weighs: on disk, until `--help` is there, and in memory while nothing happens.

Installed without extras into a fresh virtual environment, from wheels that were downloaded before.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import psutil
from tests.bench.figure import CannotRun, Figure, middle
from tests.bench.part import ROOT
from tests.bench.server import simulated_model
from tests.bench.wheels import LOCK, PYTHON_WITH_PIP, offline, said_by

from penstock.connectors.clock import MachineClock
from penstock.connectors.sqlite import SqliteStore

SIZE_MB_MAX, HELP_MS_MAX, IDLE_MB_MAX = 120, 300, 100
HELP_ROUNDS = 5
READY_SECONDS_MAX, SETTLE_SECONDS = 30.0, 3.0
TOOLS = ("pip", "setuptools", "_distutils_hack", "distutils-precedence")
"""In site-packages, but nothing that Penstock needs when it runs."""
MB = 1_000_000


def run(quick: bool) -> Figure:
    """Raises CannotRun where it cannot be installed or does not start. `quick` changes nothing."""
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        home = Path(folder) / "venv"
        _install(home)
        size = _size(next((home / "lib").glob("python*/site-packages")))
        starts = [_seconds(str(home / "bin" / "penstock"), "--help") for _ in range(HELP_ROUNDS + 1)][1:]
        bare = [_seconds(str(home / "bin" / "python"), "-c", "") for _ in range(HELP_ROUNDS)]
        idle = _idle_memory(home / "bin" / "penstock", Path(folder))
    help_ms = 1000 * middle(starts)
    return Figure(
        bench="footprint",
        ours=size / MB,
        other=None,
        unit="MB on disk",
        target=f"<= {SIZE_MB_MAX} MB on disk; --help <= {HELP_MS_MAX} ms; idle <= {IDLE_MB_MAX} MB",
        ok=size <= SIZE_MB_MAX * MB and help_ms <= HELP_MS_MAX and idle <= IDLE_MB_MAX * MB,
        detail={"help_ms": help_ms, "bare_python_ms": 1000 * middle(bare), "idle_mb": idle / MB},
    )


def _install(home: Path) -> None:
    """Compiled to bytecode, as pip does by default."""
    environ = offline()
    said_by([sys.executable, "-m", "venv", "--without-pip", str(home)], environ)
    install = [str(PYTHON_WITH_PIP), "-m", "pip", "--python", str(home / "bin" / "python"), "install", "--quiet"]
    said_by([*install, "--require-hashes", "-r", str(LOCK)], environ)
    source = home / "source"
    ignored = shutil.ignore_patterns(".*", "tests", "build", "dist", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, source, ignore=ignored)  # building leaves files behind
    said_by([*install, "--no-deps", "--no-build-isolation", str(source)], environ)


def _size(site_packages: Path) -> int:
    """Bytes that the file system holds for it."""
    return sum(file.stat().st_blocks * 512 for file in _files(site_packages))


def _files(site_packages: Path) -> Iterator[Path]:
    for entry in site_packages.iterdir():
        if not re.match(rf"({'|'.join(TOOLS)})(\W|$)", entry.name):
            yield from (file for file in (entry, *entry.rglob("*")) if file.is_file())


def _seconds(*command: str) -> float:
    began = time.perf_counter()
    subprocess.run(command, capture_output=True, check=True)
    return time.perf_counter() - began


def _idle_memory(penstock: Path, folder: Path) -> int:
    """Resident bytes of `penstock run` on an empty topic, some seconds after it was ready."""
    path = folder / "idle.db"
    asyncio.run(_create_topic(path, "auth-log"))
    example = ROOT / "pipelines" / "examples" / "ssh_watch.yaml"
    with simulated_model() as url, (folder / "idle.log").open("wb") as log:
        options = ["--broker", f"sqlite:{path}", "--set", f"models.small.base_url={url}", "--listen", "127.0.0.1:0"]
        process = subprocess.Popen([str(penstock), "run", str(example), *options], stdout=log, stderr=log)
        try:
            _until_ready(process, folder / "idle.log")
            time.sleep(SETTLE_SECONDS)
            return int(psutil.Process(process.pid).memory_info().rss)
        finally:
            process.terminate()
            process.wait(READY_SECONDS_MAX)


async def _create_topic(path: Path, topic: str) -> None:
    store = SqliteStore(path, MachineClock())
    await store.create_topic(topic, 1)
    await store.close()


def _until_ready(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS_MAX
    while time.monotonic() < deadline and process.poll() is None:
        address = re.search(r"health and metrics at (\S+)", log.read_text())
        if address is not None and _is_ready(address[1]):
            return
        time.sleep(0.1)
    raise CannotRun(f"`penstock run` did not become ready: {log.read_text()[-1000:]}")


def _is_ready(address: str) -> bool:
    try:
        with urlopen(f"{address}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except URLError:
        return False

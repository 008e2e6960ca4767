"""Who may import what: the core stays pure because it cannot reach anything else."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
IMPURE = {
    "aiohttp", "aiokafka", "asyncio", "concurrent", "logging", "multiprocessing", "os", "pathlib", "random", "secrets",
    "shutil", "signal", "socket", "sqlite3", "subprocess", "sys", "tempfile", "threading", "time", "urllib.request", "uuid",
    "uvloop",
}  # fmt: skip
FORBIDDEN = {
    "operators": IMPURE | {"penstock.connectors", "penstock.pipelines"},
    "state": IMPURE | {"penstock.connectors", "penstock.pipelines", "penstock.operators"},
    "connectors": {"penstock.pipelines"},
}
BELOW_THE_SEAM = {
    "kafka_client", "kafka_security", "kafka_records", "kafka_aiokafka_admin", "kafka_aiokafka_member", "kafka_aiokafka_producer",
}  # fmt: skip
"""Modules of Kafka's that talk to aiokafka; all others are run on a simulated cluster, too."""
ABOVE_THE_SEAM = {"kafka.py": {"penstock.connectors.kafka_client"}}
"""What else may be imported there: the default of what is passed in."""
SHARED_OF_AIOKAFKA = {"aiokafka.errors", "aiokafka.structs"}
ALLOWED = {"state": {"penstock.operators.record", "penstock.operators.error"}}
READERS_OF_THE_FILE = {
    "bytewax.py": {"penstock.pipelines.compile", "penstock.pipelines.load", "penstock.pipelines.problem"},
}
"""Connectors that people import in programs of their own: there is no `pipelines` above them to read the file."""


def imported_names(source: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, node.module or ""


def breaches(folder: str, source: Path) -> Iterator[str]:
    for line, name in imported_names(source):
        if name in ALLOWED.get(folder, ()) or (
            folder == "connectors" and name in READERS_OF_THE_FILE.get(source.name, ())
        ):
            continue
        if any(name == forbidden or name.startswith(f"{forbidden}.") for forbidden in FORBIDDEN[folder]):
            yield f"{source.relative_to(ROOT)}:{line} imports {name}"


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_a_folder_imports_only_what_it_may(folder: str) -> None:
    sources = sorted((ROOT / folder).glob("*.py"))
    assert sources
    assert [breach for source in sources for breach in breaches(folder, source)] == []


def test_only_what_people_import_themselves_knows_bytewax() -> None:
    """The extra is for them alone: nothing of ours may need it."""
    sources = [source for folder in FORBIDDEN for source in sorted((ROOT / folder).glob("*.py"))]
    sources += sorted((ROOT / "pipelines").glob("*.py"))
    needing = {
        source.relative_to(ROOT).as_posix()
        for source in sources
        for _, name in imported_names(source)
        if name.split(".")[0] == "bytewax" or name == "penstock.connectors.bytewax"
    }
    assert needing == {"connectors/bytewax.py"}


def crossings(source: Path) -> Iterator[str]:
    """Imports of one file above the seam in kafka_port.py that a simulated run could not control."""
    below = {f"penstock.connectors.{name}" for name in BELOW_THE_SEAM}
    for line, name in imported_names(source):
        outside = name.split(".")[0] in ("time", "random", "threading", "concurrent", "socket", "aiokafka")
        allowed = SHARED_OF_AIOKAFKA | ABOVE_THE_SEAM.get(source.name, set())
        if (outside or name in below) and name not in allowed:
            yield f"{source.relative_to(ROOT)}:{line} imports {name}"


def test_kafkas_protocol_code_reaches_the_cluster_through_its_port_only() -> None:
    sources = [each for each in sorted((ROOT / "connectors").glob("kafka*.py")) if each.stem not in BELOW_THE_SEAM]
    assert len(sources) > 8
    assert [crossing for source in sources for crossing in crossings(source)] == []


def test_the_core_never_awaits() -> None:
    awaiting = [
        f"{source.relative_to(ROOT)}:{node.lineno}"
        for folder in ("operators", "state")
        for source in (ROOT / folder).glob("*.py")
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.AsyncFunctionDef | ast.Await)
    ]
    assert awaiting == []

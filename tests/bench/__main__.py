"""Benchmarks, one line of JSON each: `python -m tests.bench [NAME …] [--quick]`.

A figure that misses its target is printed with `"ok": false` and is no failure: machines differ. The exit code is 1 when a
benchmark could not run.
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
import time
import traceback
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.figure import CannotRun
from tests.compiled import compiled_into

BENCHES = (
    "throughput", "kinds", "peers", "in_process", "keys", "timers", "scale",
    "safety", "restore", "latency", "call_cost", "prefix_cache", "footprint", "first_run", "backtest", "nab",
)  # fmt: skip
"""Each is a module here with `run(quick) -> Figure`."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHES)}; default: all")
    parser.add_argument("--quick", action="store_true", help="smaller sizes: to see that everything runs")
    parser.add_argument(
        "--compiled", action="store_true", help="of a core that is compiled first (PENSTOCK_COMPILED=1)"
    )
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in BENCHES]
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(BENCHES)}")
    if options.compiled:
        return _run_compiled()
    results = [_printed(name, options.quick) for name in options.names or BENCHES]
    return 0 if all(results) else 1


def _run_compiled() -> int:
    """The same, with this one word less, on what is compiled."""
    with TemporaryDirectory(prefix="penstock-compiled-") as folder:
        again = [sys.executable, "-m", "tests.bench", *(word for word in sys.argv[1:] if word != "--compiled")]
        return subprocess.run(again, check=False, env=compiled_into(Path(folder))).returncode


def _printed(name: str, quick: bool) -> bool:
    """Run one and print what it says; whether it could run."""
    began = time.monotonic()
    print(f"{name} …", file=sys.stderr, flush=True)
    try:
        figure = importlib.import_module(f"tests.bench.{name}").run(quick)
        print(figure.to_json(), flush=True)
    except CannotRun as error:
        print(f"{name} could not run: {error}", file=sys.stderr, flush=True)
        return False
    except Exception:  # noqa: BLE001 - the others should still run
        traceback.print_exc()
        return False
    print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())

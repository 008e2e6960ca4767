"""Virtual environments of their own for frameworks that Penstock is compared with, under .cache/peers.

They are made from the pinned requirements that lie beside this file, and again when these have changed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = HERE.parents[1] / ".cache" / "peers"


class CannotRun(Exception):
    """This system cannot take part; the message says why, in the words of whatever refused."""


class Environment:
    """Of one framework: `package` is what is compared, `folder` where its requirements are."""

    name: str
    package: str
    folder: str

    @property
    def python(self) -> Path:
        return CACHE / self.folder / "bin" / "python"

    def prepare(self) -> str:
        """Make it if need be; the version of the package. Raises CannotRun."""
        wanted, made = HERE / self.folder / "requirements.txt", CACHE / self.folder / "requirements.txt"
        if not made.exists() or made.read_bytes() != wanted.read_bytes():
            self._install(wanted)
            shutil.copyfile(wanted, made)
        show = f"from importlib.metadata import version; print(version({self.package!r}))"
        return subprocess.run([self.python, "-c", show], capture_output=True, text=True, check=True).stdout.strip()

    def _install(self, requirements: Path) -> None:
        print(f"{self.name}: making {CACHE / self.folder} (once)", file=sys.stderr, flush=True)
        make = [sys.executable, "-m", "venv", "--clear", str(CACHE / self.folder)]
        pip = [str(self.python), "-m", "pip", "--disable-pip-version-check"]
        for command in (make, [*pip, "install", "--quiet", "-r", str(requirements)]):
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
            if done.returncode:
                raise CannotRun(f"{self.name} cannot be installed on Python {sys.version.split()[0]}: {done.stdout}")

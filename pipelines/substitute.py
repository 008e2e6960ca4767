"""`${VAR}`, `${VAR:-default}`, `${file:/path}` and `$$`, put in at load: in values only, never in keys, never nested.

The type of a value is found afterwards: unquoted `${KAFKA_TLS:-false}` is a boolean, in quotes it stays text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from penstock.pipelines.document import Entry, Map, Node, Piece, Scalar, Sequence
from penstock.pipelines.problem import Code, Place, Problem, nearest_name
from penstock.pipelines.scalar_place import place_in

ReadText = Callable[[str], str]
"""Path to content. Raises OSError or UnicodeDecodeError; relative paths are relative to the file's folder."""

_PLACEHOLDER = re.compile(r"\$\$|\$\{(?P<inside>[^}]*)(?P<close>\}?)")
_VARIABLE = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-.*)?", re.DOTALL)


@dataclass
class Substitution:
    """Puts values into a tree and collects what is wrong and what must stay secret.

    `secrets` are the contents of files: they are shown by no message and by no output. `failed` are the places of values
    that could not be made: whatever else is wrong with them is no news.
    """

    environ: Mapping[str, str]
    read_text: ReadText
    problems: list[Problem] = field(default_factory=list)
    secrets: set[str] = field(default_factory=set)
    failed: set[Place] = field(default_factory=set)

    def tree(self, node: Node) -> Node:
        """The same tree with every value substituted."""
        if isinstance(node, Scalar):
            return self.scalar(node) if "$" in node.text else node
        if isinstance(node, Sequence):
            return Sequence(tuple(self.tree(item) for item in node.items), node.place)
        return self.map(node)

    def map(self, node: Map) -> Map:
        entries = {name: Entry(entry.place, self.tree(entry.node)) for name, entry in node.entries.items()}
        return Map(entries, node.place)

    def scalar(self, node: Scalar) -> Scalar:
        parts: list[str] = []
        pieces: list[Piece] = []
        secret, end, length = False, 0, 0
        for match in _PLACEHOLDER.finditer(node.text):
            kept = node.text[end : match.start()]
            put_in, from_file = self._value(match, node)
            parts += [kept, put_in]
            begin, length = length + len(kept), length + len(kept) + len(put_in)
            pieces.append(Piece(begin, length, match.start(), match.end()))
            secret, end = secret or from_file, match.end()
        text = "".join([*parts, node.text[end:]])
        return replace(node, text=text, written=node.text, pieces=tuple(pieces), secret=node.secret or secret)

    def _value(self, match: re.Match[str], node: Scalar) -> tuple[str, bool]:
        """The text to put in, and whether it comes from a file."""
        inside = match["inside"]
        if inside is None:
            return "$", False
        if match["close"] != "}":
            return self._wrong(match, node, "`${` is not closed; a plain dollar before a brace is written `$$`"), False
        if inside.startswith("file:"):
            return self._file(inside.removeprefix("file:"), match, node), True
        variable = _VARIABLE.fullmatch(inside)
        if variable is None or "${" in inside:
            return self._wrong(
                match, node, f"`{match[0]}` is not a variable; write ${{NAME}} or ${{NAME:-default}}"
            ), False
        return self._variable(variable, match, node), False

    def _variable(self, variable: re.Match[str], match: re.Match[str], node: Scalar) -> str:
        name, default = variable["name"], variable["default"]
        value = self.environ.get(name)
        if value is not None and not _is_text(value):
            return self._wrong(match, node, f"the variable `{name}` is not UTF-8 text")
        if value is not None and (value or default is None):
            return value
        if default is not None:
            return default.removeprefix(":-")
        message = f"the variable `{name}` is not set; set it, or write a default: ${{{name}:-…}}"
        return self._wrong(match, node, message, nearest_name(name, self.environ))

    def _file(self, path: str, match: re.Match[str], node: Scalar) -> str:
        try:
            content = self.read_text(path)
        except (OSError, UnicodeDecodeError, ValueError) as error:
            return self._wrong(match, node, f"`{path}` cannot be read: {reason(error)}", code=Code.FILE_REFERENCE)
        content = content.removesuffix("\n").removesuffix("\r")
        self.secrets.add(content)
        return content

    def _wrong(
        self,
        match: re.Match[str],
        node: Scalar,
        message: str,
        nearest: str | None = None,
        code: Code = Code.SUBSTITUTION,
    ) -> str:
        self.problems.append(Problem(code, place_in(node, match.start()), message, nearest=nearest))
        self.failed.add(node.place)
        return match[0]


def _is_text(value: str) -> bool:
    """False for the bytes that the operating system let through although they are no text."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def reason(error: Exception) -> str:
    """Why a file cannot be read, without its path and without an errno."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)

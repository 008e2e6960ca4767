"""What `input:` of a source needs besides its words: records that it can bring, and a key for them."""

from __future__ import annotations

from collections.abc import Iterator

from penstock.operators.input_settings import is_loopback
from penstock.pipelines.document import Map, Node, Path, Scalar, key_place, matching
from penstock.pipelines.problem import Code, Problem

KEYLESS = {"file": "lines of a file have", "stdin": "lines have", "sse": "server-sent events have"}
"""What these bring has no key of its own."""
BINARY = ("avro", "protobuf")


def input_problems(root: Map) -> Iterator[Problem]:
    yield from _second_stdin(root)
    yield from _same_address(root)
    yield from _open_address(root)
    for path, source in matching(root, "sources.*"):
        settings = source.get("input") if isinstance(source, Map) else None
        if isinstance(source, Map) and isinstance(settings, Map):
            yield from _binary(root, path, source)
            yield from _keyless(root, path, source, settings)


def _second_stdin(root: Map) -> Iterator[Problem]:
    for path, _ in list(matching(root, "sources.*.input.stdin"))[1:]:
        message = "standard input is read by another source already"
        yield Problem(Code.WRONG_VALUE, key_place(root, path), message, expected="one source with `stdin`")


def _same_address(root: Map) -> Iterator[Problem]:
    first: dict[tuple[str, str], Path] = {}
    for path, settings in matching(root, "sources.*.input.http"):
        address, at = _text(settings, "listen", ""), _text(settings, "path", "/")
        if (address, at) in first:
            message = f"POSTs to {address}{at} go to source `{first[address, at][1]}` already"
            yield Problem(Code.WRONG_VALUE, key_place(root, path), message, expected="another `path`")
        first.setdefault((address, at), path)


def _open_address(root: Map) -> Iterator[Problem]:
    for path, listen in matching(root, "sources.*.input.http.listen"):
        if isinstance(listen, Scalar) and not is_loopback(listen.text) and not any(matching(root, _token(path))):
            message = f"other machines can reach {listen.text}, and whoever does can write events"
            yield Problem(
                Code.OPEN_INPUT, listen.place, message, severity="warning", expected="a `token`, or 127.0.0.1"
            )


def _token(listen: Path) -> str:
    return ".".join(map(str, (*listen[:-1], "token")))


def _text(settings: Node, name: str, default: str) -> str:
    found = settings.get(name) if isinstance(settings, Map) else None
    return found.text if isinstance(found, Scalar) else default


def _binary(root: Map, path: Path, source: Map) -> Iterator[Problem]:
    format = source.get("format")
    words = [format.text] if isinstance(format, Scalar) else list(format.entries) if isinstance(format, Map) else []
    if any(word in BINARY for word in words):
        message = f"`input` brings text, and source `{path[-1]}` reads {words[0]}"
        yield Problem(
            Code.WRONG_VALUE, key_place(root, (*path, "input")), message, expected="`format` json, csv or text"
        )


def _keyless(root: Map, path: Path, source: Map, settings: Map) -> Iterator[Problem]:
    kind = next((word for word in settings.entries if word in KEYLESS), None)
    if kind is not None and "key" not in source.entries:
        message = f"source `{path[-1]}` has no `key`, and {KEYLESS[kind]} none: every record would be a dead letter"
        yield Problem(
            Code.MISSING_FIELD, key_place(root, (*path, "input")), message, expected="`key`, such as `key: event.host`"
        )

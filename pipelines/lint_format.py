"""What `format:` needs besides its words: a library that is an extra, a registry, a schema file that can be used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec

from penstock.operators import decode_avro, decode_protobuf
from penstock.operators.decode_formats import REGISTERED
from penstock.operators.schemas import Unusable
from penstock.pipelines.document import Map, Node, Path, Scalar, key_place, matching
from penstock.pipelines.problem import Code, Place, Problem

_MODULES = {"avro": decode_avro.MODULE, "protobuf": decode_protobuf.MODULE}


def is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the package in which it would be
        return False


def format_problems(
    root: Map, files: Mapping[str, str], is_installed: Callable[[str], bool] = is_installed
) -> Iterator[Problem]:
    """`files` are the contents of the files that the document refers to, bytes as base64."""
    for path, node in matching(root, "sources.*.format"):
        word = _word(node)
        if word not in _MODULES:
            continue
        if not is_installed(_MODULES[word]):
            yield _not_installed(_place(root, path, node), word)
        elif isinstance(node, Map):
            yield from _unusable(node, word, files)
        if isinstance(node, Scalar) and not _has_registry(root):
            yield _no_registry(node, word)


def _word(node: Node) -> str:
    if isinstance(node, Scalar):
        return node.text if node.text in REGISTERED else ""
    return next(iter(node.entries), "") if isinstance(node, Map) else ""


def _place(root: Map, path: Path, node: Node) -> Place:
    return node.place if isinstance(node, Scalar) else key_place(root, (*path, _word(node)))


def _not_installed(place: Place, word: str) -> Problem:
    message = f"`format: {word}` needs a library that is not installed"
    return Problem(Code.NOT_INSTALLED, place, message, expected=f"pip install 'penstock[{word}]'")


def _has_registry(root: Map) -> bool:
    kafka = root.get("kafka")
    registry = kafka.get("registry") if isinstance(kafka, Map) else None
    return isinstance(registry, Map) or (isinstance(registry, Scalar) and registry.value is not None)


def _no_registry(node: Scalar, word: str) -> Problem:
    message = f"`format: {word}` reads records whose schemas are in a registry, and `kafka:` names none"
    own = "{avro: {schema: FILE}}" if word == "avro" else "{protobuf: {descriptor: FILE, message: NAME}}"
    return Problem(
        Code.MISSING_FIELD, node.place, message, expected=f"`kafka.registry`, or {own} for records without a header"
    )


def _unusable(node: Map, word: str, files: Mapping[str, str]) -> Iterator[Problem]:
    inner = node.get(word)
    named = {name: entry.node for name, entry in inner.entries.items()} if isinstance(inner, Map) else {}
    texts = {
        name: each.text for name, each in named.items() if isinstance(each, Scalar) and isinstance(each.value, str)
    }
    file = named.get("schema" if word == "avro" else "descriptor")
    if not isinstance(file, Scalar) or file.text not in files or (word == "protobuf" and "message" not in texts):
        return
    try:
        if word == "avro":
            decode_avro.build(files[file.text])
        else:
            decode_protobuf.build(texts["message"], files[file.text])
    except Unusable as problem:
        yield Problem(Code.RECORD_SCHEMA, file.place, f"`{file.text}` cannot be used: {problem}")

"""Whatever happens to a file, loading gives a spec that compiles or problems, and every problem stands inside the file."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import example, given
from hypothesis import strategies as st
from tests.property.mutated import WORDS, Change, changes, example_texts

from penstock.pipelines.compile import compile_pipeline
from penstock.pipelines.load import Loaded, load_pipeline
from penstock.pipelines.problem import LINE_BREAK, has_errors, problems_to_json

TEXTS = example_texts(scenarios=False)


def loaded_from(content: bytes, sets: list[str], environ: dict[str, str]) -> Loaded:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "f.yaml"
        path.write_bytes(content)
        return load_pipeline([path], sets=sets, environ=environ)


def check(loaded: Loaded, text: str, sets: list[str]) -> None:
    assert (loaded.spec is None) == has_errors(loaded.problems)
    if loaded.spec is not None:
        compile_pipeline(loaded)
    lines = {"f.yaml": LINE_BREAK.split(text.removeprefix("\ufeff")), "--set": LINE_BREAK.split("\n".join(sets))}
    for problem in loaded.problems:
        own = lines[Path(problem.place.file).name]
        assert 1 <= problem.place.line <= len(own), problem
        assert 1 <= problem.place.column <= len(own[problem.place.line - 1]) + 1, problem
        problem.to_text().encode()
        problem.to_github().encode()
    json.dumps([problems_to_json(loaded.problems), loaded.resolved])


@given(st.sampled_from(TEXTS), st.lists(changes(), min_size=1, max_size=4))
def test_a_mutated_example_is_a_spec_or_problems(text: str, mutations: list[Change]) -> None:
    for change in mutations:
        text = change(text)
    content = text.encode("utf-8", "replace")
    check(loaded_from(content, [], {"X": "y: 'z"}), content.decode(), [])


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace")))
@example(b"a: " + b"[" * 200)
@example(b"\xef\xbb\xbfa: 1")
@example(b"? ? ? ? : : : :")
@example(b"*a : 1")
@example(b"{*a, &b : c}")
@example(b"&a &b x: 1")
def test_any_bytes_are_problems(content: bytes) -> None:
    loaded = loaded_from(content, [], {})
    assert loaded.spec is None
    assert loaded.problems


@given(
    st.lists(st.tuples(st.lists(st.sampled_from(["sources", "auth", "triggers", "name", "kafka", "tls", "", "x"]), max_size=4),
                       st.sampled_from(WORDS) | st.text(st.characters(codec="utf-8"), max_size=8)), max_size=4),
)  # fmt: skip
def test_any_sets_are_a_spec_or_problems(options: list[tuple[list[str], str]]) -> None:
    sets = [f"{'.'.join(path)}={value}" for path, value in options]
    check(loaded_from(TEXTS[0].encode(), sets, {}), TEXTS[0], sets)

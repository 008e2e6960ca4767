"""Models of the right kind: agents are answered by those that chat, `unlike` needs one that gives vectors, `options` does not."""

from __future__ import annotations

from collections.abc import Iterator

from penstock.operators.model import EMBEDDING
from penstock.pipelines.document import Map, Scalar, key_place, matching, node_at
from penstock.pipelines.problem import Code, Problem


def semantic_problems(root: Map) -> Iterator[Problem]:
    yield from _agents(root)
    yield from _unanswered(root)
    for path, node in matching(root, "triggers.*.model"):
        if isinstance(node, Scalar) and node_at(root, ("models", node.text)) is not None:
            vectors = node_at(root, (*path[:2], "unlike")) is not None
            yield from _trigger(root, node, vectors=vectors)


def _trigger(root: Map, node: Scalar, *, vectors: bool) -> Iterator[Problem]:
    embedding = _embedding(root)
    if vectors is (node.text in embedding):
        return
    kind = "`kind: embedding`" if vectors else "no `kind: embedding`"
    why = "`unlike` compares vectors" if vectors else "`options` are words, and this model has only vectors"
    others = [name for name in _models(root) if (name in embedding) is vectors]
    expected = ", ".join(others) if others else f"a model of {kind}"
    yield Problem(Code.WRONG_VALUE, node.place, f"{why}: `model` names one with {kind}", expected=expected)


def _agents(root: Map) -> Iterator[Problem]:
    embedding = _embedding(root)
    for path, node in matching(root, "agents.*.models.*"):
        if isinstance(node, Scalar) and node.text in embedding:
            message = f"`{node.text}` gives vectors and cannot answer agent `{path[1]}`"
            others = [name for name in _models(root) if name not in embedding]
            yield Problem(Code.WRONG_VALUE, node.place, message, expected=", ".join(others) or "a model that answers")


def _unanswered(root: Map) -> Iterator[Problem]:
    """By default an agent is answered by any model that can."""
    models = _models(root)
    if not models or set(models) != _embedding(root):
        return
    for path, agent in matching(root, "agents.*"):
        if isinstance(agent, Map) and "models" not in agent.entries:
            message = f"agent `{path[-1]}` has no model to ask: all of them give vectors"
            yield Problem(Code.UNRESOLVED, key_place(root, path), message)


def _models(root: Map) -> list[str]:
    models = root.get("models")
    return list(models.entries) if isinstance(models, Map) else []


def _embedding(root: Map) -> set[str]:
    kinds = ((str(path[1]), node) for path, node in matching(root, "models.*.kind"))
    return {name for name, node in kinds if isinstance(node, Scalar) and node.text == EMBEDDING}

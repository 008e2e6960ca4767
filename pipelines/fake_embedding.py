"""vLLM's `/v1/embeddings` from the server's side: a text or a list of them in, a vector each out."""

from __future__ import annotations

from array import array
from base64 import b64encode
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from penstock.operators.prefix import token_ids
from penstock.pipelines.fake_protocol import Rejection, bad_request
from penstock.pipelines.fake_vector import DIMENSIONS, simulated_vector


class EmbeddingCall(msgspec.Struct):
    """The fields that the simulated server obeys; the others are accepted and ignored."""

    input: str | list[str]
    model: str | None = None
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None

    @property
    def texts(self) -> list[str]:
        return [self.input] if isinstance(self.input, str) else self.input


decode_embedding_call = msgspec.json.Decoder(EmbeddingCall).decode


def embeddings(call: EmbeddingCall, number: int, *, models: Sequence[str], max_model_len: int) -> bytes:
    """The answer. Raises Rejection for what vLLM refuses."""
    if models and call.model is not None and call.model not in models:
        raise Rejection(404, "NotFoundError", f"The model `{call.model}` does not exist.", "model")
    if call.dimensions is not None:
        raise bad_request(
            f'Model "{call.model}" does not support matryoshka representation, '
            "changing output dimensions will lead to poor results.", "dimensions"
        )  # fmt: skip
    lengths = [len(token_ids(text)) + 2 for text in call.texts]
    if lengths and max(lengths) > max_model_len:
        raise bad_request(
            f"This model's maximum context length is {max_model_len} tokens. However, you requested {max(lengths)} "
            "tokens in the input for embedding generation. Please reduce the length of the input.", "input"
        )  # fmt: skip
    data = [
        {"index": index, "object": "embedding", "embedding": _told(simulated_vector(text), call.encoding_format)}
        for index, text in enumerate(call.texts)
    ]
    tokens = sum(lengths)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens, "completion_tokens": 0, "prompt_tokens_details": None}
    head = {"id": f"embd-{number:016x}", "object": "list", "created": 0, "model": call.model or "*"}
    return msgspec.json.encode({**head, "data": data, "usage": usage, "simulated": True})


def _told(vector: list[float], form: str) -> Any:
    """Of length 1, as servers give them. Base64: 32-bit numbers, little-endian."""
    length = sum(number * number for number in vector) ** 0.5 or 1.0
    unit = [number / length for number in vector]
    assert len(unit) == DIMENSIONS
    return unit if form == "float" else b64encode(array("f", unit).tobytes()).decode()

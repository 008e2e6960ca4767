"""A real inference server (llama.cpp in xllamacpp) with a random model: `python tiny_model_server.py CACHE_FOLDER`.

The model is a two-layer Qwen2 with random weights and its own vocabulary, made in half a second and kept in the folder.
What it says is noise: tests assert protocol, never content. Prints its base URL when it listens on a free port of 127.0.0.1.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from pathlib import Path

import gguf
import numpy as np
import xllamacpp
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

WIDTH, LAYERS, HEADS, FEED_FORWARD, CONTEXT, VOCABULARY = 64, 2, 2, 192, 8192, 2048
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
WORDS = (
    "event",
    "sensor",
    "payment",
    "anomaly",
    "tenant",
    "window",
    "context",
    "failed",
    "accepted",
    "password",
    "root",
    "null",
)
CHAT_TEMPLATE = (
    "{%- for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content if m.content else '' }}<|im_end|>\n{% endfor -%}"
    "{%- if add_generation_prompt %}<|im_start|>assistant\n{% endif -%}"
)


def trained_vocabulary() -> tuple[list[str], list[str]]:
    """Tokens by id and merges of a byte-level BPE trained on made-up events."""
    rng = random.Random(0)
    corpus = [json.dumps({"ts": 1_700_000_000 + i, "msg": " ".join(rng.choices(WORDS, k=8))}) for i in range(4000)]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(corpus, trainer)
    trained = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(trained["vocab"], key=trained["vocab"].__getitem__)
    tokens += [f"<|pad{index}|>" for index in range(VOCABULARY - len(tokens))]
    return tokens, [merge if isinstance(merge, str) else " ".join(merge) for merge in trained["merges"]]


def write_model(path: Path) -> None:
    """Written beside its place and moved there, so that a killed run leaves no half model."""
    unfinished = path.with_suffix(f".{os.getpid()}")
    writer = gguf.GGUFWriter(unfinished, "qwen2")
    add_shape(writer)
    add_vocabulary(writer)
    add_weights(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    unfinished.replace(path)


def add_shape(writer: gguf.GGUFWriter) -> None:
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10_000.0)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_vocab_size(VOCABULARY)


def add_vocabulary(writer: gguf.GGUFWriter) -> None:
    tokens, merges = trained_vocabulary()
    types = [
        gguf.TokenType.CONTROL
        if token in SPECIAL
        else gguf.TokenType.UNUSED
        if token.startswith("<|pad")
        else gguf.TokenType.NORMAL
        for token in tokens
    ]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_eos_token_id(SPECIAL.index("<|im_end|>"))
    writer.add_pad_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def add_weights(writer: gguf.GGUFWriter) -> None:
    rng = np.random.default_rng(0)

    def noise(name: str, *shape: int) -> None:
        writer.add_tensor(name, (rng.standard_normal(shape) * 0.02).astype(np.float32))

    def ones(name: str) -> None:
        writer.add_tensor(name, np.ones(WIDTH, np.float32))

    noise("token_embd.weight", VOCABULARY, WIDTH)
    ones("output_norm.weight")
    noise("output.weight", VOCABULARY, WIDTH)
    for layer in (f"blk.{index}." for index in range(LAYERS)):
        ones(layer + "attn_norm.weight")
        ones(layer + "ffn_norm.weight")
        for part in ("q", "k", "v"):
            noise(f"{layer}attn_{part}.weight", WIDTH, WIDTH)
            noise(f"{layer}attn_{part}.bias", WIDTH)
        noise(layer + "attn_output.weight", WIDTH, WIDTH)
        noise(layer + "ffn_gate.weight", FEED_FORWARD, WIDTH)
        noise(layer + "ffn_up.weight", FEED_FORWARD, WIDTH)
        noise(layer + "ffn_down.weight", WIDTH, FEED_FORWARD)


def serve(path: Path) -> xllamacpp.Server:
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.model_alias = {"tiny"} if isinstance(params.model_alias, set) else "tiny"
    params.hostnames = ["127.0.0.1"] if isinstance(params.hostnames, list) else {"127.0.0.1"}
    params.port = 0
    params.n_ctx, params.n_parallel, params.kv_unified = 2 * CONTEXT, 4, True
    params.use_jinja, params.warmup, params.endpoint_metrics = True, False, True
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    return xllamacpp.Server(params)


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tiny.gguf"
    if not path.exists():
        write_model(path)
    server = serve(path)
    print(f"{server.listening_address}/v1", flush=True)
    parent = os.getppid()
    while os.getppid() == parent:  # ends with the tests, however they end
        time.sleep(0.5)


if __name__ == "__main__":
    main()

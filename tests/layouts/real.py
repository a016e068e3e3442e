"""Models of transformers with small random configurations and weights."""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import torch
import transformers


@dataclasses.dataclass(frozen=True)
class Case:
    """A model, what it is given under the names of the Linen model, and how it is run."""

    model: torch.nn.Module
    inputs: dict[str, np.ndarray]
    run: Callable[..., dict[str, torch.Tensor]]

    def outputs(self, model: torch.nn.Module | None = None) -> dict[str, np.ndarray]:
        """Run the model, or another one with the same inputs."""
        with torch.no_grad():
            found = self.run(
                model or self.model,
                **{name: torch.tensor(value) for name, value in self.inputs.items()},
            )
        return {name: value.numpy() for name, value in found.items()}


def randomized(model: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Set all parameters, also of norms and biases, to random values, and disable dropout."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.data = 0.2 * noise + (1.0 if parameter.ndim == 1 else 0.0)
    return model.eval()


def _tokens(rng: np.random.Generator, vocabulary: int) -> np.ndarray:
    return rng.integers(0, vocabulary, (2, int(rng.integers(4, 9)))).astype(np.int32)


def gpt2(rng: np.random.Generator) -> Case:
    heads = int(rng.integers(1, 4))
    config = transformers.GPT2Config(
        vocab_size=int(rng.integers(20, 40)),
        n_positions=int(rng.integers(9, 16)),
        n_embd=heads * int(rng.integers(2, 6)),
        n_layer=int(rng.integers(1, 4)),
        n_head=heads,
        n_inner=[None, 12][rng.integers(2)],
        layer_norm_epsilon=[1e-5, 1e-3][rng.integers(2)],
        activation_function=["gelu_new", "gelu", "relu"][rng.integers(3)],
    )
    model = transformers.GPT2LMHeadModel(config)
    inputs = {"tokens": _tokens(rng, config.vocab_size)}
    return Case(model, inputs, lambda model, tokens: {"logits": model(tokens).logits})


def llama(rng: np.random.Generator) -> Case:
    kv_heads = int(rng.integers(1, 3))
    heads = kv_heads * int(rng.integers(1, 3))
    llama3 = {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16,
    }
    config = transformers.LlamaConfig(
        vocab_size=int(rng.integers(20, 40)),
        hidden_size=heads * 2 * int(rng.integers(1, 4)),
        intermediate_size=int(rng.integers(8, 20)),
        num_hidden_layers=int(rng.integers(1, 4)),
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=[None, 6][rng.integers(2)],
        rms_norm_eps=[1e-6, 1e-4][rng.integers(2)],
        rope_theta=[10000.0, 500.0][rng.integers(2)],
        rope_scaling=[None, llama3][rng.integers(2)],
        attention_bias=bool(rng.integers(2)),
        mlp_bias=bool(rng.integers(2)),
        tie_word_embeddings=bool(rng.integers(2)),
    )
    model = transformers.LlamaForCausalLM(config)
    inputs = {"tokens": _tokens(rng, config.vocab_size)}
    return Case(model, inputs, lambda model, tokens: {"logits": model(tokens).logits})


def bert(rng: np.random.Generator) -> Case:
    heads = int(rng.integers(1, 4))
    config = transformers.BertConfig(
        vocab_size=int(rng.integers(20, 40)),
        max_position_embeddings=int(rng.integers(9, 16)),
        type_vocab_size=int(rng.integers(2, 4)),
        hidden_size=heads * int(rng.integers(2, 6)),
        intermediate_size=int(rng.integers(8, 20)),
        num_hidden_layers=int(rng.integers(1, 4)),
        num_attention_heads=heads,
        hidden_act=["gelu", "gelu_new", "relu"][rng.integers(3)],
        layer_norm_eps=[1e-12, 1e-3][rng.integers(2)],
    )
    tokens = _tokens(rng, config.vocab_size)
    types = rng.integers(0, config.type_vocab_size, tokens.shape).astype(np.int32)

    def run(model, tokens, types, mask):
        found = model(tokens, token_type_ids=types, attention_mask=mask)
        return {
            "logits": found.prediction_logits,
            "next_sentence": found.seq_relationship_logits,
        }

    inputs = {"tokens": tokens, "types": types, "mask": _mask(tokens)}
    return Case(transformers.BertForPreTraining(config), inputs, run)


def _mask(tokens: np.ndarray) -> np.ndarray:
    """The second text ends before the first."""
    mask = np.ones(tokens.shape, np.int32)
    mask[1, -2:] = 0
    return mask


def vit(rng: np.random.Generator) -> Case:
    heads, patch = int(rng.integers(1, 4)), int(rng.integers(2, 4))
    config = transformers.ViTConfig(
        image_size=patch * int(rng.integers(2, 4)),
        patch_size=patch,
        hidden_size=heads * int(rng.integers(2, 6)),
        intermediate_size=int(rng.integers(8, 20)),
        num_hidden_layers=int(rng.integers(1, 4)),
        num_attention_heads=heads,
        hidden_act=["gelu", "gelu_new", "relu"][rng.integers(3)],
        layer_norm_eps=[1e-12, 1e-3][rng.integers(2)],
        num_labels=int(rng.integers(3, 6)),
    )
    images = rng.normal(size=(2, config.image_size, config.image_size, 3)).astype(np.float32)
    return Case(
        transformers.ViTForImageClassification(config),
        {"images": images},
        lambda model, images: {"logits": model(images.permute(0, 3, 1, 2)).logits},
    )


def t5(rng: np.random.Generator) -> Case:
    config = transformers.T5Config(
        vocab_size=int(rng.integers(20, 40)),
        d_model=int(rng.integers(6, 16)),
        d_kv=int(rng.integers(2, 6)),
        d_ff=int(rng.integers(8, 20)),
        num_layers=int(rng.integers(1, 4)),
        num_decoder_layers=int(rng.integers(1, 4)),
        num_heads=int(rng.integers(1, 4)),
        relative_attention_num_buckets=[32, 8][rng.integers(2)],
        relative_attention_max_distance=[128, 6][rng.integers(2)],
        feed_forward_proj=["relu", "gated-gelu", "gated-silu"][rng.integers(3)],
        tie_word_embeddings=bool(rng.integers(2)),
    )
    tokens = _tokens(rng, config.vocab_size)

    def run(model, tokens, targets, mask):
        found = model(tokens, attention_mask=mask, decoder_input_ids=targets)
        return {"logits": found.logits}

    inputs = {
        "tokens": tokens,
        "targets": _tokens(rng, config.vocab_size),
        "mask": _mask(tokens),
    }
    return Case(transformers.T5ForConditionalGeneration(config), inputs, run)


CASES: dict[str, Callable[[np.random.Generator], Case]] = {
    "bert": bert,
    "gpt2": gpt2,
    "llama": llama,
    "t5": t5,
    "vit": vit,
}


def draw(name: str, seed: int) -> Case:
    """Return a random model of a kind, always the same one for a seed."""
    case = CASES[name](np.random.default_rng(seed))
    randomized(case.model, seed)
    return case


FLAX = {
    "bert": "FlaxBertForPreTraining",
    "gpt2": "FlaxGPT2LMHeadModel",
    "llama": "FlaxLlamaForCausalLM",
    "t5": "FlaxT5ForConditionalGeneration",
    "vit": "FlaxViTForImageClassification",
}


def has_flax(config: Any) -> bool:
    """Return whether the flax model of transformers has what a configuration asks for."""
    if config.model_type != "llama":
        return True
    beyond = (config.attention_bias, config.mlp_bias, config.tie_word_embeddings)
    size = config.hidden_size // config.num_attention_heads
    return not any(beyond) and config.rope_scaling is None and config.head_dim == size


def save_flax(name: str, case: Case, folder: Path, **options: Any) -> None:
    """Write `flax_model.msgpack`, or its parts, with the flax model of transformers."""
    case.model.save_pretrained(folder)
    with warnings.catch_warnings(), patched_clip():
        warnings.simplefilter("ignore")
        model = getattr(transformers, FLAX[name]).from_pretrained(folder, from_pt=True)
        model.save_pretrained(folder, **options)


@contextlib.contextmanager
def patched_clip():
    """The flax models of transformers pass an argument by the name that earlier versions of JAX had."""
    clip = jnp.clip
    jnp.clip = lambda x, *args, a_max=None, **rest: clip(x, *args, max=a_max, **rest)
    try:
        yield
    finally:
        jnp.clip = clip


def config_of(model: Any) -> dict:
    """Return the content of `config.json`."""
    return model.config.to_dict()

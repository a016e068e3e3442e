"""The arrays of transformers' files with the names and shapes of other libraries, written out name by name.

These are the names that the converters of transformers read: `convert_t5x_checkpoint_to_pytorch.py` for T5X, and those
of ViT for the repositories vision_transformer and big_vision.
"""

from __future__ import annotations

import numpy as np

Arrays = dict[str, np.ndarray]


def t5x(given: Arrays, config: dict) -> Arrays:
    """Return the parameters of a T5 as T5X names them, joined by slashes."""
    found = {"token_embedder/embedding": given["shared.weight"]}
    if not config["tie_word_embeddings"]:
        found["decoder/logits_dense/kernel"] = given["lm_head.weight"].T
    attentions = {
        "encoder": [("SelfAttention", "attention", "pre_attention_layer_norm")],
        "decoder": [
            ("SelfAttention", "self_attention", "pre_self_attention_layer_norm"),
            ("EncDecAttention", "encoder_decoder_attention", "pre_cross_attention_layer_norm"),
        ],
    }
    for side, parts in attentions.items():
        name = f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        found[f"{side}/relpos_bias/rel_embedding"] = given[name].T
        found[f"{side}/{side}_norm/scale"] = given[f"{side}.final_layer_norm.weight"]
        for i in range(config["num_layers" if side == "encoder" else "num_decoder_layers"]):
            new, old = f"{side}/layers_{i}", f"{side}.block.{i}.layer"
            for n, (torch_name, t5x_name, norm) in enumerate(parts):
                for ours, theirs in zip("qkvo", ("query", "key", "value", "out"), strict=True):
                    array = given[f"{old}.{n}.{torch_name}.{ours}.weight"]
                    found[f"{new}/{t5x_name}/{theirs}/kernel"] = array.T
                found[f"{new}/{norm}/scale"] = given[f"{old}.{n}.layer_norm.weight"]
            last = f"{old}.{len(parts)}"
            found[f"{new}/pre_mlp_layer_norm/scale"] = given[f"{last}.layer_norm.weight"]
            for dense in ("wi", "wi_0", "wi_1", "wo"):
                if f"{last}.DenseReluDense.{dense}.weight" in given:
                    array = given[f"{last}.DenseReluDense.{dense}.weight"]
                    found[f"{new}/mlp/{dense}/kernel"] = array.T
    return found


def vision_transformer(given: Arrays, config: dict) -> Arrays:
    """Return the parameters of a ViT as the repository vision_transformer names them."""
    positions = given["vit.embeddings.position_embeddings"]
    found = _vit(given, config, ("LayerNorm_0", "LayerNorm_2", "MlpBlock_3"), 1)
    return {**found, "Transformer/posembed_input/pos_embedding": positions}


def big_vision(given: Arrays, config: dict) -> Arrays:
    """Return the parameters of a ViT as big_vision names them: the class token gets no position there."""
    positions = given["vit.embeddings.position_embeddings"]
    found = _vit(given, config, ("LayerNorm_0", "LayerNorm_1", "MlpBlock_0"), 0)
    found |= {"cls": found["cls"] + positions[:, :1], "pos_embedding": positions[:, 1:]}
    return {f"params/{name}": value for name, value in found.items()}


def _vit(given: Arrays, config: dict, names: tuple[str, str, str], number: int) -> Arrays:
    heads = config["num_attention_heads"]
    norm_1, norm_2, mlp = names
    found = {
        "cls": given["vit.embeddings.cls_token"],
        "embedding/kernel": given["vit.embeddings.patch_embeddings.projection.weight"].transpose(
            2, 3, 1, 0
        ),
        "embedding/bias": given["vit.embeddings.patch_embeddings.projection.bias"],
        "Transformer/encoder_norm/scale": given["vit.layernorm.weight"],
        "Transformer/encoder_norm/bias": given["vit.layernorm.bias"],
        "head/kernel": given["classifier.weight"].T,
        "head/bias": given["classifier.bias"],
    }
    size = config["hidden_size"]
    for i in range(config["num_hidden_layers"]):
        old, new = f"vit.encoder.layer.{i}", f"Transformer/encoderblock_{i}"
        attention = f"{new}/MultiHeadDotProductAttention_{number}"
        for part in ("query", "key", "value"):
            weight = given[f"{old}.attention.attention.{part}.weight"].T
            bias = given[f"{old}.attention.attention.{part}.bias"]
            found[f"{attention}/{part}/kernel"] = weight.reshape(size, heads, -1)
            found[f"{attention}/{part}/bias"] = bias.reshape(heads, -1)
        out = given[f"{old}.attention.output.dense.weight"].T
        found[f"{attention}/out/kernel"] = out.reshape(heads, -1, size)
        found[f"{attention}/out/bias"] = given[f"{old}.attention.output.dense.bias"]
        for theirs, ours in (("layernorm_before", norm_1), ("layernorm_after", norm_2)):
            found[f"{new}/{ours}/scale"] = given[f"{old}.{theirs}.weight"]
            found[f"{new}/{ours}/bias"] = given[f"{old}.{theirs}.bias"]
        for theirs, ours in (("intermediate", "Dense_0"), ("output", "Dense_1")):
            found[f"{new}/{mlp}/{ours}/kernel"] = given[f"{old}.{theirs}.dense.weight"].T
            found[f"{new}/{mlp}/{ours}/bias"] = given[f"{old}.{theirs}.dense.bias"]
    return found

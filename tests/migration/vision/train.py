"""Training in data parallel with jax.pmap."""
import functools
import hashlib
import os

import jax
import jax.numpy as jnp
import numpy as np
import optax

import flax
from flax import jax_utils
from flax.training.common_utils import get_metrics, onehot, shard, shard_prng_key, stack_forest
from flax.training.early_stopping import EarlyStopping

import checkpointing
import input_pipeline
import metrics
from state import create_train_state


def cross_entropy(logits, labels, smoothing=0.0):
    num_classes = logits.shape[-1]
    off = smoothing / num_classes
    targets = onehot(labels, num_classes, on_value=1.0 - smoothing + off, off_value=off)
    return optax.softmax_cross_entropy(logits, targets)


@functools.partial(jax.pmap, axis_name="batch", static_broadcasted_argnums=(3,))
def train_step(state, batch, rng, smoothing):
    rng = jax.random.fold_in(rng, state.step)

    def loss_fn(params):
        variables = {"params": params, "batch_stats": state.batch_stats}
        logits, updates = state.apply_fn(
            variables, batch["image"], mutable=["batch_stats"], rngs={"dropout": rng}
        )
        loss = cross_entropy(logits, batch["label"], smoothing).mean()
        return loss, (logits, updates.get("batch_stats", {}))

    (loss, (logits, stats)), grads = jax.value_and_grad(loss_fn, has_aux=True)(state.params)
    grads = jax.lax.pmean(grads, axis_name="batch")
    state = state.apply_gradients(grads=grads, batch_stats=stats)
    accuracy = jnp.mean(jnp.argmax(logits, -1) == batch["label"])
    return state, jax.lax.pmean({"loss": loss, "accuracy": accuracy}, "batch")


@functools.partial(jax.pmap, axis_name="batch")
def eval_step(state, batch):
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    logits = state.apply_fn(variables, batch["image"], train=False)
    sums = metrics.Accumulator(
        count=jnp.asarray(len(batch["label"]), jnp.float32),
        loss=cross_entropy(logits, batch["label"]).sum(),
        correct=(logits.argmax(-1) == batch["label"]).sum().astype(jnp.float32),
    )
    return jax.lax.psum(sums, "batch")


# Batch statistics differ between devices: their mean is what is evaluated and saved.
sync_batch_stats = jax.pmap(lambda stats: jax.lax.pmean(stats, "x"), "x")


def evaluate(state, data, batch_size):
    total = metrics.Accumulator.empty()
    for start in range(0, len(data["label"]), batch_size):
        batch = shard({key: value[start : start + batch_size] for key, value in data.items()})
        total = total.add(jax_utils.unreplicate(eval_step(state, batch)))
    return total.compute()


def digest(tree):
    sha = hashlib.sha256()
    for path, leaf in sorted(flax.traverse_util.flatten_dict(tree, sep="/").items()):
        sha.update(path.encode() + np.asarray(leaf).tobytes())
    return sha.hexdigest()


def train_and_evaluate(config, workdir):
    train_data = input_pipeline.make_split(config, config.num_train, seed=1)
    eval_data = input_pipeline.make_split(config, config.num_eval, seed=2)
    state = create_train_state(config, config.num_train // config.batch_size)
    state = checkpointing.restore_replicated(workdir, state)
    writer = metrics.MetricsWriter(workdir)
    early_stop = EarlyStopping(min_delta=1e-3, patience=config.patience)
    rng, shuffle = shard_prng_key(jax.random.PRNGKey(config.seed + 1)), np.random.default_rng(3)
    losses = []
    for epoch in range(config.num_epochs):
        steps = []
        for batch in input_pipeline.train_iterator(train_data, config.batch_size, shuffle):
            state, step_metrics = train_step(state, batch, rng, config.label_smoothing)
            steps.append(step_metrics)
        losses += [float(loss) for loss in get_metrics(steps)["loss"]]
        if state.batch_stats:
            state = state.replace(batch_stats=sync_batch_stats(state.batch_stats))
        result = evaluate(state, eval_data, config.batch_size)
        writer.write_scalars(jax_utils.unreplicate(state).step, result)
        early_stop = early_stop.update(result["loss"])
        if early_stop.has_improved:
            checkpointing.save(workdir, state)
        if early_stop.should_stop:
            break
    writer.close()
    state = jax_utils.unreplicate(state)
    weights = checkpointing.export_weights(os.path.join(workdir, "weights.msgpack"), state)
    return {
        "losses": [loss.hex() for loss in losses],
        "evaluation": {name: value.hex() for name, value in result.items()},
        "params": digest(state.params),
        "weights": hashlib.sha256(weights).hexdigest(),
    }

"""Train a small convolutional network on handwritten digits, and apply it with every kind of store.

The program checks every statement that it prints; the exit status is 1 if one is false.
"""

from __future__ import annotations

import functools
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
import optax
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import linen_core as nn
import linen_store

DATA = Path(__file__).with_name("digits.npz")
IMAGES, LABELS = ("train_images", "test_images"), ("train_labels", "test_labels")
BATCH = 64
GOAL = 0.97
console = Console(width=132)


class Trunk(nn.Module):
    """Two convolutions that map an image to a vector of features."""

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        for features in (32, 64):
            x = nn.Conv(features, (3, 3), use_bias=False)(x)
            x = nn.BatchNorm(use_running_average=not train)(x)
            x = nn.relu(x)
            x = nn.max_pool(x, (2, 2), strides=(2, 2))
        return x.reshape(len(x), -1)


class Classifier(nn.Module):
    """The trunk and a classification head."""

    classes: int

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        x = Trunk(name="trunk")(x, train=train)
        x = nn.relu(nn.Dense(128, name="hidden")(x))
        x = nn.Dropout(0.4, deterministic=not train)(x)
        return nn.Dense(self.classes, name="head")(x)


@functools.partial(jax.jit, static_argnames=("model", "optimizer"))
def train_step(model, optimizer, variables, moments, images, labels, key):
    """Take one optimiser step on one batch."""

    def loss_of(params):
        logits, updates = model.apply(
            {**variables, "params": params},
            images,
            train=True,
            rngs={"dropout": key},
            mutable=["batch_stats"],
        )
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), updates

    (loss, updates), grads = jax.value_and_grad(loss_of, has_aux=True)(variables["params"])
    change, moments = optimizer.update(grads, moments)
    return {**updates, "params": optax.apply_updates(variables["params"], change)}, moments, loss


def accuracy(model, variables, images, labels):
    """Return the accuracy on some images; the variables may be a dict or a store."""
    logits = model.apply(variables, images, train=False)
    return float((logits.argmax(-1) == labels).mean())


def train(title, model, variables, data, epochs):
    """Train for some epochs and show a progress bar."""
    images, labels, held_images, held_labels = data
    steps = len(images) // BATCH
    optimizer = optax.adam(optax.cosine_decay_schedule(3e-3, epochs * steps))
    moments = optimizer.init(variables["params"])
    shuffler, keys = np.random.default_rng(1), jax.random.split(jax.random.key(1), epochs)
    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()]
    columns += [TextColumn("{task.fields[figures]}"), TimeElapsedColumn()]
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task(title, total=epochs, figures="")
        for epoch_key in keys:
            batches = shuffler.permutation(len(images))[: steps * BATCH].reshape(steps, BATCH)
            for batch, key in zip(batches, jax.random.split(epoch_key, steps), strict=True):
                variables, moments, loss = train_step(
                    model, optimizer, variables, moments, images[batch], labels[batch], key
                )
            right = accuracy(model, variables, held_images, held_labels)
            figures = f"loss {loss:.4f}  held-out accuracy {right:.1%}"
            progress.update(bar, advance=1, figures=figures)
    return variables, moments


def claim(holds, text):
    """Print a statement, and exit if it is false."""
    console.print(f"[green]ok[/]   {text}" if holds else f"[red]FAIL[/] {text}", highlight=False)
    if not holds:
        sys.exit(1)


def count(store):
    """Return the number of leaves and bytes of a store from its specs, without reading a value."""
    leaves = [leaf for name in store.collections() for leaf in jax.tree.leaves(store.spec(name))]
    return len(leaves), sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)


def compare_stores(model, variables, path, images, labels):
    """Show the accuracy with the same variables in three stores."""
    with linen_store.CheckpointStore(path) as lazy:
        frozen = linen_store.freeze(lazy.snapshot(["params", "batch_stats"]))
    with linen_store.CheckpointStore(path) as lazy:
        sources = {"the trained dict": variables, "FrozenDict": frozen, "CheckpointStore": lazy}
        found = {name: accuracy(model, source, images, labels) for name, source in sources.items()}
        leaves, size = count(lazy)
        read = f"{lazy.stats.leaves} of {leaves} leaves, {lazy.stats.bytes:,} of {size:,} bytes"
    table = Table("variables from", "accuracy", "read from disk")
    for name, right in found.items():
        table.add_row(name, f"{right:.2%}", read if name == "CheckpointStore" else "")
    console.print(table)
    claim(len(set(found.values())) == 1, "the same accuracy from all three")
    claim(lazy.stats.leaves < leaves, "the lazy store read only what apply touched")


def warm_start(path, variables, data):
    """Train a classifier of odd and even digits, starting from the trunk of the digit classifier."""
    images, labels, held_images, held_labels = data
    model = Classifier(classes=2)
    started, report = linen_store.restore(
        model,
        path,
        images[:1],
        train=False,
        rngs=jax.random.key(2),
        rename={r"^(params|batch_stats)/(hidden|head)/.*": None},
        init_missing=True,
    )
    console.print(str(report), highlight=False)
    same = jax.tree.map(np.array_equal, started["params"]["trunk"], variables["params"]["trunk"])
    claim(jax.tree.all(same), "the trunk is the trained one, bit for bit; the head is new")
    parity = (images, labels % 2, held_images, held_labels % 2)
    trained, _ = train("odd or even", model, started, parity, epochs=4)
    right = accuracy(model, trained, *parity[2:])
    claim(right >= GOAL, f"odd or even, after 4 epochs from the restored trunk: {right:.2%}")


def main():
    """Train, summarise, save, reopen and warm-start."""
    with np.load(DATA) as file:
        images, held_images = (file[name][..., None] / np.float32(16) for name in IMAGES)
        labels, held_labels = (file[name].astype(np.int32) for name in LABELS)
    data = (images, labels, held_images, held_labels)
    model = Classifier(classes=10)
    style = {"width": console.width, "force_terminal": console.is_terminal}
    print(model.tabulate(jax.random.key(0), images[:1], train=False, console_kwargs=style))

    start = time.perf_counter()
    variables = model.init(jax.random.key(0), images[:1], train=False)
    variables, moments = train("ten digits", model, variables, data, epochs=20)
    seconds = time.perf_counter() - start
    right = accuracy(model, variables, held_images, held_labels)
    claim(right >= GOAL, f"{right:.2%} of {len(held_labels)} held-out images, in {seconds:.0f} s")

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "digits"
        adam = moments[0]
        linen_store.save(path, {**variables, "optimizer": {"mu": adam.mu, "nu": adam.nu}})
        console.print(f"saved to {path.name}: " + ", ".join([*variables, "optimizer"]))
        compare_stores(model, variables, path, held_images, held_labels)
        warm_start(path, variables, data)


if __name__ == "__main__":
    main()

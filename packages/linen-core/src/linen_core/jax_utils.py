"""Helpers for data parallelism over the devices of a process, with the names of ``flax.jax_utils``.

They serve programs that use `jax.pmap`. New programs shard arrays with `jax.device_put` and `jax.jit` instead.
"""

from __future__ import annotations

import collections
import functools
import itertools
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from linen_core._jax_compat import partial_evaluate
from linen_core.typing import PyTree

__all__ = [
    "pad_shard_unpad",
    "partial_eval_by_shape",
    "pmean",
    "prefetch_to_device",
    "replicate",
    "scan_in_dim",
    "unreplicate",
]

Devices: TypeAlias = Sequence[jax.Device] | None


def _split_over(devices: Devices, axis_name: str) -> jax.sharding.NamedSharding:
    """Return the sharding of a leading axis over devices."""
    chosen = devices or jax.local_devices()
    mesh = jax.sharding.Mesh(np.array(chosen), (axis_name,))
    return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(axis_name))


def _stack_where_they_are(values: Sequence[Any]) -> Any:
    module = jnp if any(isinstance(value, jax.Array) for value in values) else np
    return module.stack(values)


def replicate(tree: PyTree, devices: Devices = None, axis_name: str = "_device_put_sharded") -> Any:
    """Copy each array of a tree to several devices, along a new leading axis.

    Args:
      tree: a pytree of arrays and numbers.
      devices: the devices; by default those of this process, in the order of `jax.pmap`.
      axis_name: name of the mesh axis of the new axis.

    Returns:
      The tree with arrays of shape ``(number of devices, *shape)``; each device holds one copy.

    Example:
      >>> replicate({"w": jnp.ones(3)})["w"].shape == (jax.local_device_count(), 3)
      True
    """
    sharding = _split_over(devices, axis_name)
    count = sharding.mesh.size
    return jax.tree.map(
        lambda x: jax.device_put(_stack_where_they_are([x] * count), sharding), tree
    )


def unreplicate(tree: PyTree) -> Any:
    """Return one copy of each array that `replicate` or `jax.pmap` has returned.

    Args:
      tree: a pytree of arrays with a leading axis over devices. A scalar, and an array that all devices hold whole, is
        returned as it is.

    Example:
      >>> unreplicate(replicate({"w": jnp.ones(3)}))["w"].shape
      (3,)
    """
    return jax.tree.map(_first, tree)


def _first(x: Any) -> Any:
    if np.ndim(x) == 0:
        return x
    sharding = getattr(x, "sharding", None)
    if sharding is None or len(sharding.device_set) == 1:
        return x[0]
    # The data of one device: indexing an array that several devices hold would gather it.
    local = x.addressable_shards[0].data
    return local if sharding.is_fully_replicated else local[0]


def pmean(xs: PyTree, axis_name: Any) -> Any:
    """Average over a mapped axis. Deprecated: use `jax.lax.pmean`.

    Example:
      >>> with warnings.catch_warnings(action="ignore"):
      ...     jax.vmap(lambda x: pmean(x, "i"), axis_name="i")(jnp.arange(3.0))
      Array([1., 1., 1.], dtype=float32)
    """
    warnings.warn("Use jax.lax.pmean instead.", DeprecationWarning, stacklevel=2)
    return jax.lax.pmean(xs, axis_name)


def partial_eval_by_shape(
    fn: Callable[..., Any], input_spec: Iterable[Any], *args: Any, **kwargs: Any
) -> Any:
    """Evaluate what a function returns without the values of its first arguments, and the shapes of the rest.

    Args:
      fn: the function, called with one array for each spec, then with ``*args`` and ``**kwargs``.
      input_spec: for each array its shape, or a pair of shape and dtype; float32 by default.
      *args: further arguments.
      **kwargs: keyword arguments.

    Returns:
      The result. A value that depends on the arrays is a `jax.ShapeDtypeStruct`.

    Example:
      >>> partial_eval_by_shape(lambda x, n: (x.sum(), jnp.ones(n)), [(2, 3)], 2)
      (ShapeDtypeStruct(shape=(), dtype=float32), Array([1., 1.], dtype=float32))
    """
    inputs = [_parse_spec(spec) for spec in input_spec]
    found = partial_evaluate(lambda *arrays: fn(*arrays, *args, **kwargs))(*inputs)
    return jax.tree.map(_without_value, found)


def _without_value(value: Any) -> Any:
    if isinstance(value, jax.core.ShapedArray):
        return jax.ShapeDtypeStruct(value.shape, value.dtype)
    return value


def _parse_spec(spec: Any) -> jax.ShapeDtypeStruct:
    spec = tuple(spec)
    if len(spec) == 2 and isinstance(spec[0], Iterable):
        return jax.ShapeDtypeStruct(tuple(spec[0]), spec[1])
    return jax.ShapeDtypeStruct(spec, jnp.float32)


def prefetch_to_device(
    iterator: Iterable[PyTree],
    size: int,
    devices: Devices = None,
    axis_name: str = "_device_put_sharded",
) -> Iterator[Any]:
    """Move batches to the devices before they are needed.

    Args:
      iterator: pytrees of arrays whose leading axis has one entry for each device.
      size: the number of batches that are on the devices at once, at least one. With 2, the copy of the next batch
        overlaps with the step of a GPU.
      devices: the devices; by default those of this process, in the order of `jax.pmap`.
      axis_name: name of the mesh axis of the leading axis.

    Yields:
      The batches in order, each array sharded over the devices.

    Example:
      >>> batches = [np.full((jax.local_device_count(), 2), i) for i in range(3)]
      >>> [int(batch[0, 0]) for batch in prefetch_to_device(batches, 2)]
      [0, 1, 2]
    """
    batches = iter(iterator)
    sharding = _split_over(devices, axis_name)

    def placed(x: Any) -> Any:
        return jax.device_put(
            x if isinstance(x, jax.Array | np.ndarray) else _stack_where_they_are(list(x)), sharding
        )

    queue: collections.deque[Any] = collections.deque()

    def enqueue(count: int) -> None:
        for batch in itertools.islice(batches, count):
            queue.append(jax.tree.map(placed, batch))

    enqueue(size)
    while queue:
        yield queue.popleft()
        enqueue(1)


def scan_in_dim(
    body_fn: Callable[[Any, Any], tuple[Any, Any]],
    init: PyTree,
    xs: PyTree,
    axis: int | Sequence[int] = (0,),
    unroll: int | Sequence[int] = (1,),
    keepdims: bool = False,
) -> tuple[Any, Any]:
    """Run `jax.lax.scan` over any axes of arrays, the first of them in the outermost loop.

    Args:
      body_fn: maps a carry and a slice of ``xs`` to the new carry and a slice of the result.
      init: the first carry.
      xs: a pytree of arrays that have the axes.
      axis: the axis, or the axes.
      unroll: iterations that are unrolled in each loop; the last numbers belong to the innermost loops.
      keepdims: whether the slices keep the axes, with size one.

    Returns:
      The last carry, and the results with the scanned axes where ``xs`` has them.

    Example:
      >>> total, sums = scan_in_dim(lambda c, x: (c + x, c + x), jnp.zeros(2), jnp.ones((2, 3)), axis=1)
      >>> sums.shape, float(total[0])
      ((2, 3), 3.0)
    """
    axes = tuple(axis) if isinstance(axis, Iterable) else (axis,)
    unrolls = tuple(unroll) if isinstance(unroll, Iterable) else (unroll,)
    unrolls = (1,) * (len(axes) - len(unrolls)) + unrolls
    front = tuple(range(len(axes)))
    to_front = functools.partial(jnp.moveaxis, source=axes, destination=front)
    to_axes = functools.partial(jnp.moveaxis, source=front, destination=axes)

    def body(carry: PyTree, slices: PyTree) -> tuple[Any, Any]:
        if not keepdims:
            return body_fn(carry, slices)
        slices = jax.tree.map(lambda x: to_axes(jnp.expand_dims(x, front)), slices)
        carry, results = body_fn(carry, slices)
        return carry, jax.tree.map(lambda y: jnp.squeeze(to_front(y), front), results)

    for count in reversed(unrolls):
        body = functools.partial(jax.lax.scan, body, unroll=count)
    carry, results = body(init, jax.tree.map(to_front, xs))
    return carry, jax.tree.map(to_axes, results)


def pad_shard_unpad(
    wrapped: Callable[..., Any],
    static_argnums: Collection[int] = (0,),
    static_argnames: Collection[str] = (),
    static_return: bool = False,
) -> Callable[..., Any]:
    """Let a function of `jax.pmap` take batches whose size the number of devices does not divide.

    The returned function pads each batch with zeros on the host, splits it over the devices, and removes the padding
    from the results. It takes one more keyword, ``min_device_batch``: the smallest batch of a device, which avoids
    another compilation for the last batch of a data set.

    Args:
      wrapped: the function, for example ``jax.pmap(lambda params, x: ...)``.
      static_argnums: positions of the arguments that are passed on as they are; the first by default.
      static_argnames: names of the keyword arguments that are passed on as they are.
      static_return: whether the result is returned as it is.

    Raises:
      AssertionError: the batches have different sizes.

    Example:
      >>> double = pad_shard_unpad(jax.pmap(lambda params, x: params * x), static_argnums=())
      >>> double(np.full(3, 2.0), np.arange(3.0)).tolist()
      [0.0, 2.0, 4.0]
    """

    @functools.wraps(wrapped)
    def wrapper(*args: Any, min_device_batch: int | None = None, **kwargs: Any) -> Any:
        split = [arg for index, arg in enumerate(args) if index not in static_argnums]
        split += [arg for name, arg in kwargs.items() if name not in static_argnames]
        sizes = {np.shape(leaf)[0] for leaf in jax.tree.leaves(split)}
        if len(sizes) != 1:
            msg = f"Cannot split the batches over the devices: expected one size, found {sorted(sizes)}."
            raise AssertionError(msg)
        (size,) = sizes
        count = jax.local_device_count()
        rows = max(-(-size // count), min_device_batch or 0)

        def pad(x: Any) -> Any:
            x = np.asarray(x)
            padding = np.zeros((count * rows - size, *x.shape[1:]), x.dtype)
            return np.concatenate([x, padding]).reshape(count, rows, *x.shape[1:])

        def unpad(x: Any) -> Any:
            x = np.asarray(jax.device_get(x))
            return x.reshape(-1, *x.shape[2:])[:size]

        padded = [
            arg if index in static_argnums else jax.tree.map(pad, arg)
            for index, arg in enumerate(args)
        ]
        named = {
            name: arg if name in static_argnames else jax.tree.map(pad, arg)
            for name, arg in kwargs.items()
        }
        result = wrapped(*padded, **named)
        return result if static_return else jax.tree.map(unpad, result)

    return wrapper

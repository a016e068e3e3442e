"""`vjp`, `grad`, `value_and_grad`, `jvp` and `custom_vjp` over modules."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from linen_core.filters import CollectionFilter, PRNGSequenceFilter
from linen_core.module.base import Module
from linen_core.module.wrapping import wrap_method_once
from linen_core.transforms._modules import holds_scopes, lift_call, lift_direct
from linen_core.transforms._packing import Group, Lifted, lifts_scopes
from linen_core.typing import PyTree

__all__ = ["custom_vjp", "grad", "jvp", "value_and_grad", "vjp"]


def vjp(
    fn: Callable[..., Any],
    mdl: Module,
    *primals: PyTree,
    has_aux: bool = False,
    reduce_axes: object = (),
    vjp_variables: CollectionFilter = "params",
    variables: CollectionFilter = True,
    rngs: PRNGSequenceFilter = True,
    multi_scope: bool = False,
) -> Any:
    """Lift `jax.vjp`: call a function of a module and return its vector-Jacobian product.

    Args:
      fn: a function whose first argument is a module; with ``has_aux`` it returns a pair ``(result, aux)``.
      mdl: the module.
      *primals: further arguments.
      has_aux: whether ``fn`` returns a pair whose second part is not differentiated.
      reduce_axes: must be empty.
      vjp_variables: the collections to differentiate with respect to.
      variables: further collections to bring inside.
      rngs: the RNG streams to bring inside.
      multi_scope: whether the module may have modules as fields; the cotangents of the variables are then a list.

    Returns:
      The result of ``fn``; a function from its cotangent to the cotangents of the variables and of each argument; with
      ``has_aux`` also the auxiliary value.

    Raises:
      NotImplementedError: ``reduce_axes`` is not empty; or the module has modules as fields, without ``multi_scope``.

    Example:
      >>> import linen_core as nn
      >>> class Model(nn.Module):
      ...     @nn.compact
      ...     def __call__(self, x):
      ...         y, pull_back = nn.vjp(lambda module, x: module(x), nn.Dense(1), x)
      ...         _, input_cotangent = pull_back(jnp.ones_like(y))
      ...         return input_cotangent
      >>> Model().init_with_output(jax.random.key(0), jnp.ones((2, 3)))[0].shape
      (2, 3)
    """
    _refuse_reduce_axes("vjp", reduce_axes)

    def transform(core_fn: Callable[..., Any]) -> Callable[..., Any]:
        @lifts_scopes((vjp_variables, variables), (variables,), (rngs,), "vjp")
        def run(lifted: Lifted, *args: PyTree) -> Any:
            by, others = lifted.variable_groups

            def pure(by: Group, *args: PyTree) -> Any:
                result, groups = lifted.call(core_fn, (by, others), lifted.rng_groups, *args)
                result, aux = result if has_aux else (result, ())
                return result, (aux, groups)

            result, pull_back, (aux, groups) = jax.vjp(pure, by, *args, has_aux=True)
            # A Partial is a pytree of the residuals: it can be returned from `jax.jit` or from a custom forward pass.
            backward = jax.tree_util.Partial(
                functools.partial(_pull_back, lifted.structure), pull_back
            )
            return ((result, backward, aux) if has_aux else (result, backward)), groups

        return run

    return lift_direct(
        transform,
        (fn,),
        mdl,
        primals,
        multi_scope=multi_scope,
        alternative=", or pass multi_scope=True",
    )


def _pull_back(
    structure: jax.tree_util.PyTreeDef, pull_back: Callable[..., Any], cotangent: PyTree
) -> Any:
    variables, *inputs = pull_back(cotangent)
    return jax.tree.unflatten(structure, variables), *inputs


def value_and_grad(
    fn: Callable[..., Any],
    mdl: Module,
    *primals: PyTree,
    has_aux: bool = False,
    reduce_axes: object = (),
    variables: CollectionFilter = True,
    rngs: PRNGSequenceFilter = True,
) -> Any:
    """Lift `jax.value_and_grad`: compute a scalar function of a module and its gradients.

    Args:
      fn: a function whose first argument is a module. It returns a scalar; with ``has_aux`` a pair ``(scalar, aux)``.
      mdl: the module.
      *primals: further arguments; the function is differentiated with respect to each of them.
      has_aux: whether ``fn`` returns a pair whose second part is not differentiated.
      reduce_axes: must be empty.
      variables: the collections to bring inside.
      rngs: the RNG streams to bring inside.

    Returns:
      The result of ``fn``, and a tuple of gradients, one for each argument.

    Raises:
      NotImplementedError: ``reduce_axes`` is not empty.
      ValueError: the result is not a scalar.

    Example:
      >>> import jax, jax.numpy as jnp, linen_core as nn
      >>> class Model(nn.Module):
      ...     @nn.compact
      ...     def __call__(self, x):
      ...         square = nn.Dense(1, use_bias=False, kernel_init=nn.initializers.ones)
      ...         return nn.value_and_grad(lambda dense, x: (dense(x) ** 2).sum(), square, x)
      >>> (value, gradients), _ = Model().init_with_output(jax.random.key(0), jnp.array([1.0, 2.0]))
      >>> value, gradients
      (Array(9., dtype=float32), (Array([6., 6.], dtype=float32),))
    """
    _refuse_reduce_axes("value_and_grad", reduce_axes)

    def transform(core_fn: Callable[..., Any]) -> Callable[..., Any]:
        @lifts_scopes((variables,), (variables,), (rngs,), "value_and_grad")
        def run(lifted: Lifted, *args: PyTree) -> Any:
            def pure(*args: PyTree) -> Any:
                result, groups = lifted.call(
                    core_fn, lifted.variable_groups, lifted.rng_groups, *args
                )
                result, aux = result if has_aux else (result, ())
                return result, (aux, groups)

            result, pull_back, (aux, groups) = jax.vjp(pure, *args, has_aux=True)
            gradients = pull_back(jnp.ones_like(result))
            return (result, aux, gradients), groups

        return run

    result, aux, gradients = lift_direct(transform, (fn,), mdl, primals)
    if jnp.shape(result) != ():
        msg = (
            f"Cannot take the gradient of an output of shape {result.shape}: expected a scalar. "
            "Reduce it, for example with jnp.sum."
        )
        raise ValueError(msg)
    return ((result, aux) if has_aux else result), gradients


def grad(
    fn: Callable[..., Any],
    mdl: Module,
    *primals: PyTree,
    has_aux: bool = False,
    reduce_axes: object = (),
    variables: CollectionFilter = True,
    rngs: PRNGSequenceFilter = True,
) -> Any:
    """Lift `jax.grad`: compute the gradients of a scalar function of a module.

    Arguments and errors are those of `value_and_grad`.

    Returns:
      A tuple of gradients, one for each argument; with ``has_aux`` a pair of this tuple and the auxiliary value.

    Example:
      >>> import jax, jax.numpy as jnp, linen_core as nn
      >>> class Model(nn.Module):
      ...     @nn.compact
      ...     def __call__(self, x):
      ...         square = nn.Dense(1, use_bias=False, kernel_init=nn.initializers.ones)
      ...         return nn.grad(lambda dense, x: (dense(x) ** 2).sum(), square, x)
      >>> Model().init_with_output(jax.random.key(0), jnp.array([1.0, 2.0]))[0]
      (Array([6., 6.], dtype=float32),)
    """
    value, gradients = value_and_grad(
        fn,
        mdl,
        *primals,
        has_aux=has_aux,
        reduce_axes=reduce_axes,
        variables=variables,
        rngs=rngs,
    )
    return (gradients, value[1]) if has_aux else gradients


def jvp(
    fn: Callable[..., Any],
    mdl: Module,
    primals: tuple[PyTree, ...],
    tangents: tuple[PyTree, ...],
    variable_tangents: PyTree,
    variables: CollectionFilter = True,
    rngs: PRNGSequenceFilter = True,
) -> Any:
    """Lift `jax.jvp`: compute a function of a module and its Jacobian-vector product.

    Args:
      fn: a function whose first argument is a module.
      mdl: the module.
      primals: a tuple of further arguments.
      tangents: the tangents of ``primals``.
      variable_tangents: the tangents of variables by collection; collections that are missing or empty have none.
      variables: the collections to bring inside.
      rngs: the RNG streams to bring inside.

    Returns:
      The result of ``fn``, and its tangent.

    Example:
      >>> import jax, jax.numpy as jnp, linen_core as nn
      >>> class Model(nn.Module):
      ...     @nn.compact
      ...     def __call__(self, x, direction):
      ...         layer = nn.Dense(1, use_bias=False, kernel_init=nn.initializers.ones)
      ...         return nn.jvp(lambda dense, x: dense(x), layer, (x,), (direction,), variable_tangents={})
      >>> x, direction = jnp.array([1.0, 2.0]), jnp.array([1.0, 0.0])
      >>> Model().init_with_output(jax.random.key(0), x, direction)[0]
      (Array([3.], dtype=float32), Array([1.], dtype=float32))
    """
    pushed = {col: tangent for col, tangent in variable_tangents.items() if tangent}

    def transform(core_fn: Callable[..., Any]) -> Callable[..., Any]:
        @lifts_scopes((tuple(pushed), variables), (variables,), (rngs,), "jvp")
        def run(lifted: Lifted, *args: PyTree) -> Any:
            by, others = lifted.variable_groups

            def pure(by: Group, args: tuple[Any, ...]) -> Any:
                return lifted.call(core_fn, (by, others), lifted.rng_groups, *args)

            (result, groups), (tangent, _) = jax.jvp(pure, (by, args), ((pushed,), tangents))
            return (result, tangent), groups

        return run

    return lift_direct(transform, (fn,), mdl, primals, multi_scope=False)


def custom_vjp(
    fn: Callable[..., Any],
    forward_fn: Callable[..., Any],
    backward_fn: Callable[..., Any],
    grad_vars: CollectionFilter = "params",
    nondiff_argnums: tuple[int, ...] = (),
) -> Callable[..., Any]:
    """Lift `jax.custom_vjp`: define the backward pass of a function of a module.

    Args:
      fn: a function whose first argument is a module.
      forward_fn: takes the same arguments and returns ``(result, residuals)``. The residuals may contain the function
        that `nn.vjp` returned.
      backward_fn: ``backward_fn(residuals, cotangent)`` returns the cotangents of the variables and of each argument.
        The arguments of ``nondiff_argnums`` are passed before the residuals.
      grad_vars: the collections to differentiate with respect to.
      nondiff_argnums: numbers of the arguments without a cotangent; the module is number 0.

    Returns:
      A function of a module and the arguments.

    Example:
      >>> import linen_core as nn
      >>> class Model(nn.Module):
      ...     @nn.compact
      ...     def __call__(self, x):
      ...         def call(module, x):
      ...             return module(x)
      ...         def forward(module, x):
      ...             return nn.vjp(call, module, x)
      ...         def backward(pull_back, cotangent):
      ...             variables, x = pull_back(cotangent)
      ...             return jax.tree.map(jnp.sign, variables), x
      ...         return nn.custom_vjp(call, forward_fn=forward, backward_fn=backward)(nn.Dense(1), x)
      >>> model, x = Model(), jnp.full((1, 2), 3.0)
      >>> variables = model.init(jax.random.key(0), x)
      >>> jax.grad(lambda v: model.apply(v, x).sum())(variables)["params"]["Dense_0"]["bias"]
      Array([1.], dtype=float32)
    """
    methods = [wrap_method_once(fn), wrap_method_once(forward_fn)]

    def transform(core_fn: Callable[..., Any], core_forward: Callable[..., Any]) -> Any:
        @lifts_scopes((grad_vars, True), (grad_vars, True), (True,), "custom_vjp")
        def run(lifted: Lifted, *args: PyTree) -> Any:
            # The other variables enter through the closure. As arguments they would need cotangents too.
            by, others = lifted.variable_groups

            def pure(by: Group, *args: PyTree) -> Any:
                return lifted.call(core_fn, (by, others), lifted.rng_groups, *args)

            def forward(by: Group, *args: PyTree) -> Any:
                (result, residuals), groups = lifted.call(
                    core_forward, (by, others), lifted.rng_groups, *args
                )
                return (result, groups), residuals

            def backward(*args: PyTree) -> Any:
                *static, residuals, (cotangent, _) = args
                variables, *inputs = backward_fn(*static, residuals, cotangent)
                return tuple(lifted.structure.flatten_up_to(variables)), *inputs

            differentiable = jax.custom_vjp(pure, nondiff_argnums=nondiff_argnums)
            differentiable.defvjp(forward, backward)
            return differentiable(by, *args)

        return run

    @functools.wraps(fn)
    def wrapped(self: Module, *args: object, **kwargs: object) -> Any:
        if holds_scopes(self):
            return transform(fn, forward_fn)(self, *args)
        return lift_call(transform, methods, self, args, kwargs, multi_scope=False)

    return wrapped


def _refuse_reduce_axes(name: str, reduce_axes: object) -> None:
    if reduce_axes:
        msg = f"nn.{name}: JAX has removed `reduce_axes`. Reduce with jax.lax.psum instead."
        raise NotImplementedError(msg)

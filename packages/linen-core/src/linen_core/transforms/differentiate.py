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
from linen_core.transforms._modules import lift_call, lift_direct
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
    """Lift `jax.vjp`: call a function of a module, and get the function that pulls cotangents back.

    Args:
      fn: a function whose first argument is a module; with ``has_aux`` it returns a pair.
      mdl: the module.
      *primals: further arguments.
      has_aux: whether the second part of what ``fn`` returns is not differentiated.
      reduce_axes: must be empty.
      vjp_variables: collections to differentiate by.
      variables: which other collections are there inside.
      rngs: which RNG streams are there inside.
      multi_scope: whether the module may have modules as fields; the variables' cotangents are then a list.

    Returns:
      What ``fn`` returns; a function from its cotangent to those of the variables and of each argument; and the
      auxiliary value with ``has_aux``.

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
        def call(scopes: PyTree, *primals: PyTree) -> Any:
            structure = jax.tree.structure(scopes)

            @lifts_scopes((vjp_variables, variables), (variables,), (rngs,), "vjp")
            def run(lifted: Lifted, *args: PyTree) -> Any:
                by, others = lifted.variable_groups

                def pure(by: Group, *args: PyTree) -> Any:
                    opened = lifted.open((by, others), lifted.rng_groups)
                    result = core_fn(opened, *args)
                    result, aux = result if has_aux else (result, ())
                    return result, (aux, lifted.close(opened))

                result, pull_back, (aux, groups) = jax.vjp(pure, by, *args, has_aux=True)
                backward = jax.tree_util.Partial(
                    functools.partial(_pull_back, structure), pull_back
                )
                return ((result, backward, aux) if has_aux else (result, backward)), groups

            return run(scopes, *primals)

        return call

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
    """Lift `jax.value_and_grad`: call a scalar function of a module, and get its gradient by the arguments.

    Args:
      fn: a function whose first argument is a module, returning a scalar; with ``has_aux`` a pair.
      mdl: the module.
      *primals: further arguments, which are differentiated by.
      has_aux: whether the second part of what ``fn`` returns is not differentiated.
      reduce_axes: must be empty.
      variables: which collections are there inside.
      rngs: which RNG streams are there inside.

    Returns:
      What ``fn`` returns, and a tuple of gradients, one for each argument.

    Raises:
      NotImplementedError: ``reduce_axes`` is not empty.
      ValueError: the result is no scalar.

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
                opened = lifted.open(lifted.variable_groups, lifted.rng_groups)
                result = core_fn(opened, *args)
                result, aux = result if has_aux else (result, ())
                return result, (aux, lifted.close(opened))

            result, pull_back, (aux, groups) = jax.vjp(pure, *args, has_aux=True)
            gradients = pull_back(jnp.ones_like(result))
            return (result, aux, gradients), groups

        return run

    result, aux, gradients = lift_direct(transform, (fn,), mdl, primals)
    if jnp.shape(result) != ():
        msg = (
            f"Cannot take the gradient of an output of shape {result.shape}: expected a scalar. "
            "Reduce it, with jnp.sum for example."
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
    """Lift `jax.grad`: the gradient of a scalar function of a module by its arguments.

    Args and errors are those of `value_and_grad`.

    Returns:
      A tuple of gradients, one for each argument; with ``has_aux`` a pair of that and the auxiliary value.

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
    """Lift `jax.jvp`: push tangents of arguments and variables through a function of a module.

    Args:
      fn: a function whose first argument is a module.
      mdl: the module.
      primals: a tuple of further arguments.
      tangents: their tangents.
      variable_tangents: tangents of variables by collection; an empty dict for none.
      variables: which collections are there inside.
      rngs: which RNG streams are there inside.

    Returns:
      What ``fn`` returns, and its tangent.

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

    def transform(core_fn: Callable[..., Any]) -> Callable[..., Any]:
        def call(
            scopes: PyTree,
            primals: tuple[PyTree, ...],
            tangents: tuple[PyTree, ...],
            variable_tangents: PyTree,
        ) -> Any:
            structure: Any = jax.tree.structure(scopes)
            given = structure.flatten_up_to(variable_tangents)
            pushed = tuple({col: t for col, t in tree.items() if t} for tree in given)

            @lifts_scopes((tuple(pushed[0]), variables), (variables,), (rngs,), "jvp")
            def run(lifted: Lifted, *args: PyTree) -> Any:
                by, others = lifted.variable_groups

                def pure(by: Group, args: tuple[Any, ...]) -> Any:
                    opened = lifted.open((by, others), lifted.rng_groups)
                    return core_fn(opened, *args), lifted.close(opened)

                (result, groups), (tangent, _) = jax.jvp(pure, (by, args), (pushed, tangents))
                return (result, tangent), groups

            return run(scopes, *primals)

        return call

    arguments = (primals, tangents, variable_tangents)
    return lift_direct(transform, (fn,), mdl, arguments, multi_scope=False)


def custom_vjp(
    fn: Callable[..., Any],
    forward_fn: Callable[..., Any],
    backward_fn: Callable[..., Any],
    grad_vars: CollectionFilter = "params",
    nondiff_argnums: tuple[int, ...] = (),
) -> Callable[..., Any]:
    """Lift `jax.custom_vjp`: give a function of a module a backward pass of its own.

    Args:
      fn: a function whose first argument is a module.
      forward_fn: the same, returning also what the backward pass needs, which may contain the function that `nn.vjp`
        gave.
      backward_fn: ``backward_fn(residuals, cotangent)`` returns the cotangents of the variables and of each argument;
        numbers named in ``nondiff_argnums`` come before.
      grad_vars: the collections that cotangents are given for.
      nondiff_argnums: numbers of arguments that are not differentiated by, the module being number 0.

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
        return lift_custom_vjp(core_fn, core_forward, backward_fn, grad_vars, nondiff_argnums)

    @functools.wraps(fn)
    def wrapped(self: Module, *args: object, **kwargs: object) -> Any:
        return lift_call(transform, methods, self, args, kwargs, multi_scope=False)

    return wrapped


def lift_custom_vjp(
    fn: Callable[..., Any],
    forward_fn: Callable[..., Any],
    backward_fn: Callable[..., Any],
    grad_vars: CollectionFilter = "params",
    nondiff_argnums: tuple[int, ...] = (),
) -> Callable[..., Any]:
    """Lift `jax.custom_vjp` to functions of scopes; see `custom_vjp`."""

    @lifts_scopes((grad_vars, True), (grad_vars, True), (True,), "custom_vjp")
    def run(lifted: Lifted, *args: PyTree) -> Any:
        by, others = lifted.variable_groups

        def pure(by: Group, *args: PyTree) -> Any:
            opened = lifted.open((by, others), lifted.rng_groups)
            return fn(opened, *args), lifted.close(opened)

        def forward(by: Group, *args: PyTree) -> Any:
            opened = lifted.open((by, others), lifted.rng_groups)
            result, residuals = forward_fn(opened, *args)
            return (result, lifted.close(opened)), residuals

        def backward(*args: PyTree) -> Any:
            *static, residuals, (cotangent, _) = args
            variables, *inputs = backward_fn(*static, residuals, cotangent)
            return tuple(lifted.structure.flatten_up_to(variables)), *inputs

        differentiable = jax.custom_vjp(pure, nondiff_argnums=nondiff_argnums)
        differentiable.defvjp(forward, backward)
        return differentiable(by, *args)

    return run


def _refuse_reduce_axes(name: str, reduce_axes: object) -> None:
    if reduce_axes:
        msg = f"nn.{name}: `reduce_axes` is gone from JAX. Reduce with jax.lax.psum instead."
        raise NotImplementedError(msg)

"""Python values among the arguments of transformed methods."""

import jax
import jax.numpy as jnp
import pytest

import linen_core as nn
from linen_core import errors

KEY = jax.random.key(0)
X = jnp.ones((1, 2))


class Block(nn.Module):
    @nn.compact
    def __call__(self, x, train=False, power=1, *, named=False):
        x = x + 1 if train else x
        x = -x if named else x
        for _ in range(power):
            x = 2 * x
        return nn.Dense(2)(x)


TRANSFORMS = [nn.remat, nn.jit]
CALLS = [
    ((2,), (True,), {}),
    ((2,), (), {}),
    ((2,), (), {"train": True}),
    ((2, 3), (True, 2), {}),
    ((2, 3), (True,), {"power": 2}),
    ((2, 3), (), {"power": 2}),
    ((2, 3), (), {"power": 2, "train": True}),
    (3, (), {"power": 2}),
]


@pytest.mark.parametrize(("numbers", "args", "kwargs"), CALLS)
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_static_arguments_may_be_positional_by_keyword_or_left_out(
    transform, numbers, args, kwargs
):
    model = transform(Block, static_argnums=numbers)()
    variables = Block().init(KEY, X)
    y = model.apply(variables, X, *args, **kwargs)
    assert (y == Block().apply(variables, X, *args, **kwargs)).all()
    gradient = jax.grad(lambda v: model.apply(v, X, *args, **kwargs).sum())(variables)
    expected = jax.grad(lambda v: Block().apply(v, X, *args, **kwargs).sum())(variables)
    assert jax.tree.all(jax.tree.map(jnp.allclose, gradient, expected))


def test_static_keyword_names_of_jit():
    model = nn.jit(Block, static_argnums=2, static_argnames="named")()
    assert model.init_with_output(KEY, X, train=True, named=True)[0].shape == (1, 2)


def message(call):
    with pytest.raises((errors.TracedFlagError, errors.StaticArgumentError)) as caught:
        call()
    return str(caught.value)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_a_flag_that_is_not_static_is_named_with_its_place_and_number(transform):
    class Outer(nn.Module):
        @nn.compact
        def __call__(self, x, *args, **kwargs):
            return transform(Block, **options)(name="inner")(x, *args, **kwargs)

    name = "remat" if transform is nn.remat else "jit"
    kind = "CheckpointBlock" if transform is nn.remat else "JitBlock"
    options = {}
    for args, kwargs in (((True,), {}), ((), {"train": True})):
        assert message(lambda args=args, kwargs=kwargs: Outer().init(KEY, X, *args, **kwargs)) == (
            f"Cannot call {kind}.__call__ at /inner under nn.{name}: the method uses the value of a Python argument, "
            "but arguments that are not static become traced arrays. The Python values passed are train=True. For "
            f"those it branches on, pass static_argnums=(2,) to nn.{name}, where the module is number 0."
        )
        options["static_argnums"] = (2,)  # the advice
        Outer().init(KEY, X, *args, **kwargs)
        options.clear()


def test_a_number_that_counts_the_module_wrongly_shows_how_arguments_are_counted():
    text = message(lambda: nn.remat(Block, static_argnums=(1,))().init(KEY, X, True))
    assert "The Python values passed are train=True" in text
    assert "pass static_argnums=(2,) to nn.remat" in text
    text = message(lambda: nn.jit(Block, static_argnums=(1,))().init(KEY, X, True))
    assert "argument number 1 is static, but it is of type ArrayImpl, which has no hash" in text


def test_a_number_that_the_method_does_not_have():
    assert message(lambda: nn.remat(Block, static_argnums=(5,))().init(KEY, X, True)) == (
        "Cannot call CheckpointBlock.__call__ at / under nn.remat: it has no argument number 5, only 0 (the module), "
        "1 (x), 2 (train), 3 (power). Name only arguments that are hashable Python values in static_argnums, and count "
        "the module as number 0."
    )


def test_a_keyword_only_flag():
    text = message(lambda: nn.jit(Block)().init(KEY, X, named=True))
    assert text.endswith("For those it branches on, pass static_argnames=('named',) to nn.jit.")
    assert nn.jit(Block, static_argnames=("named",))().init(KEY, X, named=True)
    text = message(lambda: nn.remat(Block)().init(KEY, X, named=True))
    assert text.endswith("For those it branches on, make named a field of the module.")


def test_a_string_that_is_not_static():
    class Moded(nn.Module):
        @nn.compact
        def __call__(self, x, mode):
            return nn.Dense(2)(x) if mode == "dense" else x

    for transform in TRANSFORMS:
        text = message(lambda transform=transform: transform(Moded)().init(KEY, X, "dense"))
        assert "The Python values passed are mode='dense'" in text
        assert transform(Moded, static_argnums=2)().init(KEY, X, "dense")


def test_a_branch_on_an_array_keeps_the_error_of_jax():
    class Branching(nn.Module):
        @nn.compact
        def __call__(self, x):
            return x if x.sum() > 0 else -x

    for transform in TRANSFORMS:
        with pytest.raises(jax.errors.TracerBoolConversionError) as caught:
            transform(Branching)().apply({}, X)
        assert not isinstance(caught.value, errors.TracedFlagError)


def test_numbers_of_modules_in_arguments_stay_right():
    class Calls(nn.Module):
        @nn.compact
        def __call__(self, layer, x, train):
            return layer(x) if train else x

    class Outer(nn.Module):
        transform: object

        @nn.compact
        def __call__(self, x, **kwargs):
            return self.transform(Calls, static_argnums=3)()(nn.Dense(2), x, **kwargs)

    for transform in TRANSFORMS:
        variables = Outer(transform).init(KEY, X, train=True)
        assert set(variables["params"]) == {"Dense_0"}
        assert (Outer(transform).apply(variables, X, train=False) == X).all()

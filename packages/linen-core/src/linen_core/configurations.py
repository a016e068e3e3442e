"""Flags for a whole program, with the names of ``flax.configurations``. `flax.config` is `config` here.

Each flag starts with the value of the environment variable of its name in capitals, for example ``FLAX_PROFILE``, which
is read when this file is imported. Flags act on the current thread or asyncio task, like `linen_core.default_store`.

| flag | effect |
|---|---|
| ``flax_filter_frames`` | hide Linen's frames in tracebacks; on by default |
| ``flax_profile`` | run methods under `jax.named_scope`; on by default |
| ``flax_return_frozendict`` | `init` and `apply` return a FrozenDict |
| ``flax_preserve_adopted_names`` | modules that are made outside keep their names |
| ``flax_fix_rng_separator`` | RNG streams separate the names that they fold in, which changes all keys |
| ``flax_use_orbax_checkpointing`` | `linen_store.checkpoints` writes Orbax, not MessagePack; on by default |

The other flags belong to ``flax.nnx``: changing one is a warning, and has no effect.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, NoReturn, TypeVar

from linen_core import traceback_util
from linen_core._context import context_var
from linen_core._lazy_names import import_optional
from linen_core.store.default import default_store

__all__ = [
    "Config",
    "FlagHolder",
    "bool_flag",
    "config",
    "flax_always_shard_variable",
    "flax_array_ref",
    "flax_filter_frames",
    "flax_fix_rng",
    "flax_hijax_variable",
    "flax_max_repr_depth",
    "flax_preserve_adopted_names",
    "flax_profile",
    "flax_pytree_module",
    "flax_return_frozendict",
    "flax_use_flaxlib",
    "flax_use_orbax_checkpointing",
    "int_flag",
    "nnx_graph_mode",
    "nnx_graph_updates",
    "static_bool_env",
    "static_int_env",
]

T = TypeVar("T")


class Config:
    """The values of all flags, as attributes. There is one instance, `config`.

    Example:
      >>> config.flax_profile
      True
    """

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        values = vars(self).get("_values", {})
        if name not in values:
            msg = f"Linen has no flag {name!r}. The flags are: {', '.join(sorted(values))}."
            raise AttributeError(msg, name=name, obj=self)
        return values[name]

    def _add_option(self, name: str, default: Any, value: Any) -> None:
        if name in self._values:
            msg = f"Cannot add the flag {name!r}: it exists. Choose another name."
            raise RuntimeError(msg)
        self._values[name] = default
        if value != default:
            self.update(name, value)

    def _read(self, name: str) -> Any:
        if name not in self._values:
            msg = f"Linen has no flag {name!r}. The flags are: {', '.join(sorted(self._values))}."
            raise LookupError(msg)
        return self._values[name]

    def update(self, name_or_holder: str | FlagHolder[Any], value: Any, /) -> None:
        """Change the value of a flag, for the current thread or asyncio task.

        Args:
          name_or_holder: the name of the flag, or its holder.
          value: the new value.

        Raises:
          LookupError: the flag does not exist.
          ImportError: ``flax_return_frozendict`` needs linen-store, which is not installed.

        Example:
          >>> import linen_core as nn
          >>> config.update("flax_profile", False)
          >>> config.update("flax_profile", True)
        """
        name = name_or_holder.name if isinstance(name_or_holder, FlagHolder) else name_or_holder
        old = self._read(name)
        if name in _EFFECTS:
            _EFFECTS[name](value)
        elif name in _FLAGS_OF_NNX and value != old:
            msg = f"The flag {name!r} has no effect in Linen: it belongs to flax.nnx. Remove the update."
            warnings.warn(msg, UserWarning, stacklevel=2)
        self._values[name] = value

    @contextlib.contextmanager
    def temp_flip_flag(self, var_name: str, var_value: bool) -> Iterator[None]:
        """Change the value of a flag inside a `with` block.

        Args:
          var_name: the name of the flag without ``flax_``.
          var_value: the value inside the block.

        Example:
          >>> with config.temp_flip_flag("profile", False):
          ...     config.flax_profile
          False
        """
        name = f"flax_{var_name}"
        old = getattr(self, name)
        self.update(name, var_value)
        try:
            yield
        finally:
            self.update(name, old)

    def __repr__(self) -> str:
        lines = ", ".join(f"\n  {name}={value!r}" for name, value in self._values.items())
        return f"Config({lines}\n)"


def _filter_frames(value: bool) -> None:
    if value:
        traceback_util.hide_linen_in_tracebacks()
    else:
        traceback_util.show_linen_in_tracebacks()


def _return_frozendict(value: bool) -> None:
    default_store(import_optional("linen_store", "FrozenDict") if value else None)


def _changes_context(field: str) -> Callable[[bool], None]:
    def change(value: bool) -> None:
        fields: dict[str, Any] = {field: value}
        context_var.set(context_var.get()._replace(**fields))

    return change


_EFFECTS: Mapping[str, Callable[[bool], None]] = {
    "flax_filter_frames": _filter_frames,
    "flax_profile": _changes_context("named_calls"),
    "flax_return_frozendict": _return_frozendict,
    "flax_preserve_adopted_names": _changes_context("keeps_adopted_names"),
    "flax_fix_rng_separator": _changes_context("separates_rng_names"),
}

_FLAGS_OF_NNX = frozenset(
    {
        "flax_always_shard_variable",
        "flax_array_ref",
        "flax_hijax_variable",
        "flax_max_repr_depth",
        "flax_pytree_module",
        "flax_use_flaxlib",
        "nnx_graph_mode",
        "nnx_graph_updates",
    }
)

config = Config()


class FlagHolder(Generic[T]):
    """A flag.

    Attributes:
      name: its name in `config`.

    Raises:
      TypeError: in `bool`. Use `value`.

    Example:
      >>> flax_profile.value
      True
    """

    def __init__(self, name: str, help: str) -> None:  # noqa: A002 - the name in flax
        self.name = name
        self.__name__ = name.removeprefix("flax_")
        self.__doc__ = help

    def __bool__(self) -> NoReturn:
        msg = f"A flag is neither true nor false. Use {self.__name__}.value."
        raise TypeError(msg)

    @property
    def value(self) -> T:
        """The value of the flag."""
        return config._read(self.name)  # type: ignore[no-any-return]


def bool_flag(name: str, *, default: bool, help: str) -> FlagHolder[bool]:  # noqa: A002
    """Add a flag that is True or False.

    Args:
      name: its name; the environment variable has this name in capitals.
      default: the value if the environment variable is not set.
      help: what the flag does.

    Raises:
      RuntimeError: the flag exists.
      ValueError: the environment variable is neither true nor false.

    Example:
      >>> bool_flag("my_program_is_verbose", default=False, help="Print more.").value
      False
    """
    name = name.lower()
    config._add_option(name, default, static_bool_env(name.upper(), default))
    return FlagHolder(name, help)


def int_flag(name: str, *, default: int | None, help: str) -> FlagHolder[int | None]:  # noqa: A002
    """Add a flag that is an integer, or None; see `bool_flag`.

    Example:
      >>> int_flag("my_program_depth", default=3, help="Number of layers.").value
      3
    """
    name = name.lower()
    config._add_option(name, default, static_int_env(name.upper(), default))
    return FlagHolder(name, help)


_WORDS = dict.fromkeys(("y", "yes", "t", "true", "on", "1"), True) | dict.fromkeys(
    ("n", "no", "f", "false", "off", "0"), False
)


def static_bool_env(varname: str, default: bool) -> bool:
    """Read an environment variable that is true (y, yes, t, true, on, 1) or false (n, no, f, false, off, 0).

    Raises:
      ValueError: it has another value.

    Example:
      >>> static_bool_env("MY_PROGRAM_IS_NOT_SET", True)
      True
    """
    found = os.environ.get(varname, str(default))
    if found.lower() not in _WORDS:
        msg = f"Cannot read the environment variable {varname}: found {found!r}, expected true or false."
        raise ValueError(msg)
    return _WORDS[found.lower()]


def static_int_env(varname: str, default: int | None) -> int | None:
    """Read an environment variable that is an integer.

    Raises:
      ValueError: it is another text.

    Example:
      >>> static_int_env("MY_PROGRAM_IS_NOT_SET", 7)
      7
    """
    found = os.environ.get(varname)
    try:
        return default if found is None else int(found)
    except ValueError:
        msg = (
            f"Cannot read the environment variable {varname}: found {found!r}, expected an integer."
        )
        raise ValueError(msg) from None


flax_filter_frames = bool_flag(
    "flax_filter_frames", default=True, help="Hide the frames of Linen in tracebacks."
)
flax_profile = bool_flag(
    "flax_profile", default=True, help="Run methods of modules under jax.named_scope."
)
flax_use_orbax_checkpointing = bool_flag(
    "flax_use_orbax_checkpointing", default=True, help="Save checkpoints by step with Orbax."
)
flax_preserve_adopted_names = bool_flag(
    "flax_preserve_adopted_names", default=False, help="Keep the names of modules made outside."
)
flax_return_frozendict = bool_flag(
    "flax_return_frozendict", default=False, help="Return a FrozenDict from init and apply."
)
flax_fix_rng = bool_flag(
    "flax_fix_rng_separator", default=False, help="Separate the names that RNG streams fold in."
)

_OF_NNX = "Of flax.nnx; no effect in Linen."
flax_use_flaxlib = bool_flag("flax_use_flaxlib", default=False, help=_OF_NNX)
flax_array_ref = bool_flag("flax_array_ref", default=False, help=_OF_NNX)
flax_pytree_module = bool_flag("flax_pytree_module", default=True, help=_OF_NNX)
flax_max_repr_depth = int_flag("flax_max_repr_depth", default=None, help=_OF_NNX)
flax_always_shard_variable = bool_flag("flax_always_shard_variable", default=True, help=_OF_NNX)
flax_hijax_variable = bool_flag("flax_hijax_variable", default=False, help=_OF_NNX)
nnx_graph_mode = bool_flag("nnx_graph_mode", default=True, help=_OF_NNX)
nnx_graph_updates = bool_flag("nnx_graph_updates", default=True, help=_OF_NNX)

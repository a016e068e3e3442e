"""The commands of ``linen-store``: functions from options to an `Outcome`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from linen_core import Partitioned, VariableStore
from linen_store._texts import counted
from linen_store.commands.listing import entries
from linen_store.commands.parser import Split, open_chosen
from linen_store.commands.render import Outcome
from linen_store.commands.suggesting import suggest_map
from linen_store.commands.verifying import verify
from linen_store.formats.writing import dtype_text
from linen_store.reading.progress import in_terminal
from linen_store.reading.specs import is_array_spec, is_key, nbytes, render_spec
from linen_store.reading.stored import Names, Stored, arrays_of, read_array
from linen_store.reading.tree import insert
from linen_store.restoring.matching import check_matched
from linen_store.restoring.placement import plan
from linen_store.saving.converting import convert

__all__ = ["COMMANDS", "Outcome"]


def _numbers(value: Any) -> np.ndarray[Any, Any]:
    """Return the numbers of a value, or the data of keys, in a dtype that numpy can compute with."""
    if isinstance(value, jax.Array) and is_key(value):
        value = jax.random.key_data(value)
    array = np.asarray(value)
    is_numpy = array.dtype.kind in "biufc" and not jnp.issubdtype(array.dtype, jnp.bfloat16)
    return array if is_numpy else array.astype(np.float32)


def list_arrays(options: argparse.Namespace) -> Outcome:
    """List the arrays with their shapes, dtypes and sizes."""
    with open_chosen(options, options.path) as store:
        found = arrays_of(store, nones=True)
    leaves: list[dict[str, Any]] = [
        {
            "name": "/".join(one.names),
            "dtype": dtype_text(one.spec),
            "shape": list(getattr(one.spec, "shape", ())),
            "bytes": nbytes(one.spec),
        }
        for one in found
    ]
    total = sum(nbytes(one.spec) for one in found)
    return Outcome(
        data={"leaves": leaves, "count": len(leaves), "bytes": total},
        columns=("name", "shape", "dtype", "bytes"),
        rows=[
            (row["name"], str(tuple(row["shape"])), row["dtype"], f"{row['bytes']:,}")
            for row in leaves
        ],
        summary=f"{counted(len(leaves), 'leaf', 'leaves')}, {counted(total, 'byte')}",
    )


def list_items(options: argparse.Namespace) -> Outcome:
    """List the steps and items that a folder holds."""
    found = entries(options.path)
    steps = len({entry.step for entry in found if entry.step is not None})
    return Outcome(
        data={"items": [entry._asdict() for entry in found]},
        columns=("step", "item", "state"),
        rows=[(entry.step or "", entry.item or "", entry.state) for entry in found],
        summary=f"{counted(steps, 'step')}, {counted(len(found), 'item')}",
    )


def show(options: argparse.Namespace) -> Outcome:
    """Describe the values of one array."""
    with open_chosen(options, options.path) as store:
        found = {"/".join(one.names): one for one in arrays_of(store, nones=True)}
        if options.leaf not in found:
            msg = f"{options.path!r} has no leaf {options.leaf!r}; `linen-store ls` lists them."
            raise ValueError(msg)
        one = found[options.leaf]
        value = None if one.spec is None else read_array(store, one)
    data: dict[str, Any] = {"name": options.leaf, "what": render_spec(one.spec)}
    if isinstance(value, str):
        data["value"] = value
    elif value is not None:
        data.update(_statistics(_numbers(value)))
    rows = [
        (name, f"{value:,}" if isinstance(value, int) else str(value))
        for name, value in data.items()
    ]
    return Outcome(data=data, columns=("", ""), rows=rows)


def _statistics(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    data: dict[str, Any] = {
        "elements": int(array.size),
        "nan": int(np.isnan(array).sum()) if array.dtype.kind in "fc" else 0,
        "inf": int(np.isinf(array).sum()) if array.dtype.kind in "fc" else 0,
        "zeros": int((array == 0).sum()),
    }
    finite = array[np.isfinite(array)] if array.dtype.kind in "fc" else array
    if finite.size and array.dtype.kind != "c":
        wide = finite.astype(np.float64)
        data["min"], data["max"] = float(wide.min()), float(wide.max())
        data["mean"], data["std"] = float(wide.mean()), float(wide.std())
    if array.size <= 10:
        data["values"] = str(array.tolist())
    return data


def diff(options: argparse.Namespace) -> Outcome:
    """Compare two checkpoints, names, shapes, dtypes and values."""
    with (
        open_chosen(options, options.first) as first,
        open_chosen(options, options.second) as second,
    ):
        ours = {one.names: one for one in arrays_of(first, nones=True)}
        theirs = {one.names: one for one in arrays_of(second, nones=True)}
        rows = [("/".join(name), "only in the first", "") for name in ours if name not in theirs]
        rows += [("/".join(name), "only in the second", "") for name in theirs if name not in ours]
        same = 0
        both = {name: one for name, one in ours.items() if name in theirs}
        with in_terminal(sum(nbytes(one.spec) for one in both.values())) as add:
            for name, one in both.items():
                found = _difference(first, one, second, theirs[name], options)
                same += found is None
                rows += [] if found is None else [("/".join(name), *found)]
                add(nbytes(one.spec))
    return Outcome(
        data={
            "same": same,
            "different": [{"name": name, "what": what, "how": how} for name, what, how in rows],
        },
        columns=("name", "difference", ""),
        rows=rows,
        summary=f"{counted(same, 'leaf is', 'leaves are')} the same, "
        f"{counted(len(rows), 'differs', 'differ')}",
        code=1 if rows else 0,
    )


def _difference(
    first: VariableStore,
    one: Stored,
    second: VariableStore,
    other: Stored,
    options: argparse.Namespace,
) -> tuple[str, str] | None:
    if is_array_spec(one.spec) != is_array_spec(other.spec):
        return "kind", f"{render_spec(one.spec)} and {render_spec(other.spec)}"
    if not is_array_spec(one.spec):
        return None if one.spec == other.spec else ("value", f"{one.spec!r} and {other.spec!r}")
    if (one.spec.shape, one.spec.dtype) != (other.spec.shape, other.spec.dtype):
        return "shape or dtype", f"{render_spec(one.spec)} and {render_spec(other.spec)}"
    a, b = _numbers(read_array(first, one)), _numbers(read_array(second, other))
    same = _same(a, b, options)
    if same.all():
        return None
    wide = a.astype(np.complex128 if a.dtype.kind == "c" else np.float64)
    with np.errstate(invalid="ignore"):  # infinity minus infinity is NaN
        worst = np.abs(wide - b)[~same].max()
    return "values", f"{int((~same).sum()):,} of {a.size:,} elements, by up to {worst:.6g}"


def _same(
    a: np.ndarray[Any, Any], b: np.ndarray[Any, Any], options: argparse.Namespace
) -> np.ndarray[Any, Any]:
    if a.dtype.kind in "biu" and not options.rtol and not options.atol:
        return np.asarray(a == b)  # `isclose` converts to floats, which lose digits
    return np.asarray(np.isclose(a, b, rtol=options.rtol, atol=options.atol, equal_nan=True))


def convert_to(options: argparse.Namespace) -> Outcome:
    """Convert a checkpoint to another format."""
    with open_chosen(options, options.path) as store:
        found = arrays_of(store)
        size = sum(nbytes(one.spec) for one in found)
        with in_terminal(size) as add:
            convert(
                store,
                options.target,
                options.to,
                overwrite=options.overwrite,
                compression=options.compression,
                progress=_differences(add),
            )
    return Outcome(
        data={"target": options.target, "leaves": len(found), "bytes": size},
        summary=f"wrote {counted(len(found), 'leaf', 'leaves')}, {counted(size, 'byte')}, to {options.target}",
    )


def _differences(add: Callable[[int], None]) -> Callable[[int, int], None]:
    """Convert a function of each number of bytes to a function of their sum."""
    before = 0

    def report(done: int, _total: int) -> None:
        nonlocal before
        add(done - before)
        before = done

    return report


def plan_read(options: argparse.Namespace) -> Outcome:
    """Compute the cost of loading onto a mesh."""
    with open_chosen(options, options.path) as store:
        wanted: dict[str, Any] = {}
        _check_splits(options.split, [one.names for one in arrays_of(store)])
        for one in arrays_of(store):
            if is_array_spec(one.spec):
                insert(wanted, one.names, Partitioned(one.spec, _axes(one.names, options.split)))
        found = plan(wanted, store, options.mesh, processes=options.processes)
    return Outcome(
        data={
            "total_bytes": found.total_bytes,
            "device_bytes": found.device_bytes,
            "process_bytes": list(found.process_bytes),
        },
        summary=str(found),
    )


def _check_splits(splits: list[Split], names: list[Names]) -> None:
    joined = ["/".join(name) for name in names]
    patterns = [pattern for pattern, _ in splits]
    matched = {one.pattern for one in patterns if any(map(one.search, joined))}
    check_matched("--split", [one.pattern for one in patterns], matched, names)


def _axes(names: Names, splits: list[Split]) -> tuple[str | None, ...]:
    chosen = [axes for pattern, axes in splits if pattern.search("/".join(names))]
    if not chosen or chosen[-1] == "-":
        return ()
    return tuple(axis if axis != "-" else None for axis in chosen[-1].split(","))


COMMANDS: dict[str, Callable[[argparse.Namespace], Outcome]] = {
    "ls": list_arrays,
    "items": list_items,
    "show": show,
    "diff": diff,
    "verify": verify,
    "convert": convert_to,
    "plan": plan_read,
    "suggest": suggest_map,
}

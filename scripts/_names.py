"""Write the lists of flax's public names into docs/coming-from-flax.md: those with and without a counterpart in Linen.

The names are read from the sources of the installed flax, which some of its modules need other packages to import. A
name is public if a module defines it, or imports it as `from x import name as name`, and it has no underscore in front.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path

from linen_core.migration.flax_names import MODULES, VERSION, advice_for, counterpart

__all__ = ["advice_of", "lists", "main", "public_names", "updated"]

PAGE = Path(__file__).resolve().parent.parent / "docs" / "coming-from-flax.md"
BEGIN = "<!-- Written by scripts/names: -->\n"
END = "<!-- the end of what scripts/names writes -->\n"
# The other API of flax, whose names are not those of flax.linen.
NNX = ("flax.nnx", "flax.experimental")
INSIDE = "A part of the code of flax that Linen does without."
# Modules of JAX whose names flax.linen passes on.
JAX = ("jax.nn", "jax.nn.initializers", "jax.numpy")
# Advice that the command for the migration does not give, by module or name.
ADVICE = {
    "flax.core": INSIDE,
    "flax.core.partial_eval": "Use linen_core.Module.lazy_init.",
    "flax.core.spmd": "Only flax.nnx uses it. Use linen_core.spmd.",
    "flax.cursor": "Use jax.tree.map_with_path, or the method replace of a dataclass.",
    "flax.io": "Use os and shutil, or etils.epath.",
    "flax.linen.experimental": "Use the layers of linen_core with linen_core.with_logical_partitioning.",
    "flax.linen.kw_only_dataclasses": "Use dataclasses.field(kw_only=True).",
    "flax.metrics": "Use clu.metric_writers or tensorboardX.",
    "flax.testing": "Use time.perf_counter.",
    "flax.training.checkpoints.PyTree": "Use linen_core.typing.PyTree.",
    "flax.version": "Use importlib.metadata.version('linen-core').",
    **dict.fromkeys(NNX, "Keep flax for flax.nnx."),
}


def main() -> None:
    """Update the page."""
    PAGE.write_text(updated(PAGE.read_text("utf-8")), "utf-8")


def updated(text: str) -> str:
    """Return the text of the page with current lists."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{lists()}\n{END}{after}"


def lists() -> str:
    """Return the two lists as Markdown."""
    names = public_names()
    have, lack = [], []
    for module, found in names.items():
        places: dict[str, list[str]] = {}
        advice: dict[str, list[str]] = {}
        for name in found:
            dotted = f"{module}.{name}"
            target = counterpart(dotted)
            if target is not None:
                places.setdefault(f"`{target.module}`", []).append(name)
            elif dotted in MODULES:
                places.setdefault(_joined(MODULES[dotted]) or "see its modules", []).append(name)
            else:
                advice.setdefault(advice_of(dotted), []).append(name)
        have += [f"| `{module}` | {place} | {_joined(some)} |" for place, some in places.items()]
        lack += [f"| `{module}` | {_joined(some)} | {text} |" for text, some in advice.items()]
    count = sum(map(len, names.values()))
    return f"""flax {VERSION} has {count} public names in {len(names)} modules, without those of flax.nnx.

### With a counterpart

| module of flax | module of Linen | names |
|---|---|---|
{_lines(have)}
### Without a counterpart

| module of flax | names | what to do |
|---|---|---|
{_lines(lack)}"""


def advice_of(dotted: str) -> str:
    """Return what to do about a name without a counterpart."""
    module, _, name = dotted.rpartition(".")
    if module.startswith("flax.linen."):
        # Some files of flax.linen also export what others define.
        for other in ("flax.linen", "flax.linen.dtypes", "flax.typing"):
            if counterpart(f"{other}.{name}") is not None:
                return f"Use {counterpart(f'{other}.{name}')}."
    prefix = dotted
    while prefix:
        if prefix in ADVICE:
            return ADVICE[prefix]
        prefix = prefix.rpartition(".")[0]
    known = advice_for(dotted)
    return INSIDE if known.startswith("Check the spelling") else known


def public_names() -> dict[str, list[str]]:
    """Return the public names of each module of flax."""
    spec = importlib.util.find_spec("flax")
    if spec is None or spec.origin is None:
        msg = "flax is not installed"
        raise ImportError(msg)
    root = Path(spec.origin).parent
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = ["flax", *path.relative_to(root).with_suffix("").parts]
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if module.startswith(NNX) or any(part.startswith("_") for part in module.split(".")):
            continue
        body = ast.parse(path.read_text("utf-8")).body
        names = set(_defined(body))
        if path.name == "__init__.py":
            # The interface of a package has everything that it takes from its files.
            names |= {
                name for node in body if isinstance(node, ast.ImportFrom) for name in _bound(node)
            }
            names |= {other.stem for other in path.parent.glob("*.py")}
            names |= {other.parent.name for other in path.parent.glob("*/*.py")}
        names = {name for name in names if not name.startswith("_")}
        if names:
            found[module] = sorted(names, key=lambda name: (name.lower(), name))
    return found


def _defined(body: list[ast.stmt]) -> Iterator[str]:
    """Yield the names that statements define or re-export; no type variables."""
    for node in body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.ImportFrom(module=module) if module in JAX:
                yield from _bound(node)
            case ast.ImportFrom(names=aliases) | ast.Import(names=aliases):
                yield from (alias.name for alias in aliases if alias.asname == alias.name)
            case ast.Assign(value=ast.Call(func=ast.Name(id="TypeVar"))):
                pass
            case ast.Assign(targets=targets):
                names = [name for target in targets for name in ast.walk(target)]
                yield from (
                    name.id
                    for name in names
                    if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)
                )
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case ast.With(body=inside):
                yield from _defined(inside)
            case ast.If(body=inside, orelse=other) | ast.Try(body=inside, orelse=other):
                yield from _defined([*inside, *other])


def _bound(node: ast.ImportFrom) -> list[str]:
    return [alias.asname or alias.name for alias in node.names]


def _joined(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _lines(rows: Sequence[str]) -> str:
    return "".join(f"{row}\n" for row in rows)


if __name__ == "__main__":
    main()

"""Names of flax in strings and comments."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator

from linen_core.migration.findings import Finding, SourceEdits, no_counterpart
from linen_core.migration.flax_names import MODULES
from linen_core.migration.module_names import is_flax
from linen_core.migration.scopes import ScopeVisitor
from linen_core.migration.source_text import Edit, SourceText

__all__ = ["find_in_strings", "importer_arguments"]

_IMPORTERS = {"import_module": ("name", "package"), "__import__": ("name",)}
_IMPORT = r"(?:import +flax[\w.]* *(?=$|[,;#]|as )|from +flax[\w.]* +import +\w+)"
_CODE = re.compile(rf"^\s*(?:>>> *)?{_IMPORT}", re.MULTILINE)
_EXAMPLE = re.compile(rf"^\s*>>> *{_IMPORT}", re.MULTILINE)
_LOOKUPS = ("find_spec", "importorskip", "metadata.version")


def find_in_strings(
    tree: ast.Module, source: SourceText, visitor: ScopeVisitor, edited: Collection[str]
) -> SourceEdits:
    """Find names of flax in strings and comments.

    Args:
      tree: the syntax tree.
      source: its source.
      visitor: the visitor that has visited the tree.
      edited: local names whose uses are edited; string annotations that use them are findings.
    """
    found = SourceEdits([], [])
    names = {"flax", *edited}
    seen = set(map(id, visitor.annotations))
    for annotation, scope in visitor.unread:
        is_other = any(scope.find(name) is None and name != "flax" for name in names)
        if not is_other and names & set(_names_in(str(annotation.value))):
            text = f'The annotation "{annotation.value!s}" is a string and is left. Change it to the name in Linen.'
            found.findings.append(Finding(annotation.lineno, text))
    discarded = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and importer_arguments(node):
            seen |= set(map(id, importer_arguments(node)))
            _visit_importer(node, source, found, is_discarded=id(node) in discarded)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(_LOOKUPS):
            found.findings.extend(_note_lookup(node))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in seen:
            _note_code(node, found, is_docstring=id(node) in discarded)
            if id(node) not in discarded:
                _note_dotted_name(node, found)
    found.findings.extend(_type_comments(source))
    return found


def importer_arguments(node: ast.AST) -> list[ast.expr]:
    """Return the arguments of a call that imports a module by a string: its name, and what that is relative to.

    Example:
      >>> call = ast.parse("importlib.import_module('.linen', 'flax')").body[0].value
      >>> [argument.value for argument in importer_arguments(call)]
      ['.linen', 'flax']
      >>> importer_arguments(ast.parse("print('flax')").body[0].value)
      []
    """
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name | ast.Attribute):
        return []
    function = ast.unparse(node.func).rpartition(".")[2]
    names = _IMPORTERS.get(function, ())
    words = {word.arg: word.value for word in node.keywords if word.arg in names}
    return [*node.args[: len(names)], *words.values()]


def _names_in(annotation: str) -> Iterator[str]:
    try:
        tree = ast.parse(annotation.strip(), mode="eval")
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id


def _visit_importer(
    node: ast.Call, source: SourceText, found: SourceEdits, *, is_discarded: bool
) -> None:
    """Edit the module of `import_module("flax.linen")`, or say why not."""
    argument, *package = importer_arguments(node)
    if any(isinstance(one, ast.Constant) and is_flax(str(one.value)) for one in package):
        text = f"`{ast.unparse(node)}` is relative to flax. Write the whole name of the module."
        found.findings.append(Finding(node.lineno, text))
    if isinstance(argument, ast.JoinedStr) and argument.values:
        first = argument.values[0]
        if isinstance(first, ast.Constant) and is_flax(str(first.value)):
            text = "The module that is imported is computed from `flax`. Write the names of Linen's modules."
            found.findings.append(Finding(node.lineno, text))
    if not isinstance(argument, ast.Constant) or not isinstance(argument.value, str):
        return
    dotted, targets = argument.value, MODULES.get(argument.value, ())
    if not is_flax(dotted):
        return
    # `__import__("a.b")` returns a, unless it has a list of names.
    has_names = len(node.args) > 3 or any(word.arg == "fromlist" for word in node.keywords)
    if ast.unparse(node.func).endswith("__import__") and not (has_names or is_discarded):
        text = f'`__import__("{dotted}")` returns the package flax. Use importlib.import_module.'
        found.findings.append(Finding(node.lineno, text))
    elif dotted not in MODULES:
        found.findings.append(no_counterpart(argument, dotted))
    elif len(targets) != 1:
        text = f"Linen has several modules for {dotted}. Import the one that has the name."
        found.findings.append(Finding(node.lineno, text))
    else:
        old = source.text_of(argument)
        if old.count(dotted) == 1:
            new = old.replace(dotted, targets[0])
            found.edits.append(Edit(source.start(argument), source.end(argument), new))


def _note_code(node: ast.Constant, found: SourceEdits, *, is_docstring: bool) -> None:
    """Mention code in strings that imports flax: examples in docstrings, templates, arguments of `exec`."""
    match = (_EXAMPLE if is_docstring else _CODE).search(str(node.value))
    if match is not None:
        text = f"The string has the code `{match.group().strip()}` and is left. Change it to Linen."
        found.findings.append(Finding(node.lineno, text, needs_person=not is_docstring))


def _note_dotted_name(node: ast.Constant, found: SourceEdits) -> None:
    """Mention "flax.linen.Dense", which may be the target of a mock, and "flax>=0.8" of setup.py."""
    value = node.value
    if not isinstance(value, str) or not value.startswith("flax"):
        return
    if "." in value and is_flax(value) and all(part.isidentifier() for part in value.split(".")):
        text = f'The string "{value}" is left as it is.'
        found.findings.append(Finding(node.lineno, text, needs_person=False))
    elif value.removeprefix("flax").lstrip().startswith(("=", "<", ">", "~", "!", "[", "@")):
        text = f'The requirement "{value}" is left. Replace it by linen-core.'
        found.findings.append(Finding(node.lineno, text))


def _note_lookup(node: ast.Call) -> Iterator[Finding]:
    """Mention `find_spec("flax")`. Elsewhere the bare word is rarely the package."""
    if any(isinstance(arg, ast.Constant) and arg.value == "flax" for arg in node.args):
        text = f"`{ast.unparse(node)}` looks for flax and is left as it is."
        yield Finding(node.lineno, text, needs_person=False)


def _type_comments(source: SourceText) -> Iterator[Finding]:
    for token in source.comment_tokens(0, len(source.data)):
        is_type = token.string.startswith("# type:")
        if is_type and "flax." in token.string:
            text = f"The comment `{token.string}` is left. Change it to the name in Linen."
            yield Finding(token.start[0], text)

"""Rewrites Python files that are written for flax."""

from __future__ import annotations

import ast
import io
import tokenize
import warnings
from collections.abc import Iterator

from linen_core.migration.findings import Finding, Rewrite, SourceEdits, UnreadableError
from linen_core.migration.import_edits import ImportEditor
from linen_core.migration.module_names import ModuleName, module_of
from linen_core.migration.scopes import Binding, NameUse, ScopeVisitor
from linen_core.migration.source_text import SourceText, apply_edits
from linen_core.migration.strings import find_in_strings, importer_arguments

__all__ = [
    "find_edits",
    "mentions_packages",
    "packages_of",
    "parse",
    "rewrite_python",
]

_PACKAGES = frozenset({"flax", "linen_core", "linen_store", "linen_summary"})
_OPTIONAL_NAMES = {"tabulate": "linen_summary", "FrozenDict": "linen_store"}
_OTHER_FILE = "`flax` comes from another file, whose import of it may change. Import flax here, and run this again."
_BOM = b"\xef\xbb\xbf"


def parse(text: str) -> ast.Module:
    """Parse Python source, or the cells of a notebook, without its warnings.

    Raises:
      UnreadableError: it is not Python.
    """
    if "\0" in text:
        msg = "Does not parse as Python: it has null bytes. Name files of Python source."
        raise UnreadableError(msg)
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = compile(text, "<source>", "exec", flags, dont_inherit=True)
    except SyntaxError as error:
        msg = f"Does not parse as Python: line {error.lineno}: {error.msg}. Correct it, then run this again."
        raise UnreadableError(msg) from error
    except (ValueError, RecursionError, MemoryError) as error:
        msg = f"Does not parse as Python: {error}. Correct it, then run this again."
        raise UnreadableError(msg) from error
    return tree  # type: ignore[no-any-return]


def find_edits(text: str) -> SourceEdits:
    """Find what changes in Python source.

    Raises:
      UnreadableError: it is not Python.

    Example:
      >>> edits, findings = find_edits("import flax.linen as nn")
      >>> edits
      [Edit(start=7, end=23, text='linen_core as nn')]
    """
    tree, source = parse(text), SourceText(text)
    visitor = ScopeVisitor(source)
    visitor.visit(tree)
    taken = _taken_names(visitor)
    findings = [
        Finding(line, f"`{name}` is a variable here. The migration needs the name: choose another.")
        for name, line in taken.items()
        if name != "flax"
    ]
    if findings and "flax" in packages_of(tree):
        return SourceEdits([], findings)
    names = list(_module_names(visitor, source, free="flax" not in taken))
    by_alias = {id(binding.alias): (name, binding) for name in names for binding in name.bindings}
    unbound = {use.root.id for use in visitor.uses if use.scope.find(use.root.id) is None}
    editor = ImportEditor(source, tree, by_alias, unbound)
    strings = find_in_strings(tree, source, visitor, {n.name for n in names if not n.is_kept})
    findings = [*editor.findings, *strings.findings]
    elsewhere = list(_imports_from_other_files(visitor))
    is_left = any(name.name == "flax" and name.is_left for name in names)
    if "flax" in taken and not is_left and not elsewhere:
        text = "`flax` is a variable here, not the module. It is left as it is."
        findings.append(Finding(taken["flax"], text, needs_person=False))
    findings += elsewhere
    edits = [*editor.edits, *strings.edits]
    for name in names:
        edits += name.edits
        findings += name.findings
    return SourceEdits(edits, sorted(set(findings)))


def _imports_from_other_files(visitor: ScopeVisitor) -> Iterator[Finding]:
    """Find `from common import flax`, and uses of a flax that `from common import *` brings."""
    for scope in visitor.scopes:
        for binding in scope.bindings.get("flax", ()):
            statement, alias = binding.statement, binding.alias
            is_module = isinstance(statement, ast.ImportFrom) and statement.module
            if is_module and alias is not None and alias.name == "flax":
                yield Finding(binding.line, _OTHER_FILE)
    for use in visitor.uses:
        if use.root.id == "flax" and use.scope.find("flax") is None:
            yield Finding(use.root.lineno, _OTHER_FILE)


def _taken_names(visitor: ScopeVisitor) -> dict[str, int]:
    """Return the lines that bind the names of packages to something else."""
    taken: dict[str, int] = {}
    for scope in visitor.scopes:
        for name in _PACKAGES & scope.bindings.keys():
            for binding in scope.bindings[name]:
                if not binding.is_none and not _imports_package(binding, name):
                    taken.setdefault(name, binding.line)
    return taken


def _imports_package(binding: Binding, name: str) -> bool:
    alias = binding.alias
    if alias is None or not isinstance(binding.statement, ast.Import):
        return False
    return alias.name.partition(".")[0] == name and alias.asname in {None, name}


def _module_names(visitor: ScopeVisitor, source: SourceText, *, free: bool) -> Iterator[ModuleName]:
    uses: dict[tuple[int, str], list[NameUse]] = {}
    for use in visitor.uses:
        home = use.scope.find(use.root.id)
        if home is not None:
            uses.setdefault((id(home), use.root.id), []).append(use)
    for scope in visitor.scopes:
        for name, bindings in scope.bindings.items():
            if any(map(module_of, bindings)):
                yield ModuleName(name, bindings, uses.get((id(scope), name), ()), source, free=free)


def packages_of(tree: ast.Module) -> frozenset[str]:
    """Return the packages out of flax and Linen's that a program needs.

    Example:
      >>> sorted(packages_of(ast.parse("import linen_core as nn; nn.tabulate")))
      ['linen_core', 'linen_summary']
    """
    imported, names = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            imported.add((node.module or "").partition(".")[0])
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Attribute):
            names.add(node.attr)
        for argument in importer_arguments(node):
            if isinstance(argument, ast.Constant):
                imported.add(str(argument.value).partition(".")[0])
    # linen_core takes these names from the other packages.
    optional = {package for name, package in _OPTIONAL_NAMES.items() if name in names}
    return _PACKAGES & (imported | optional if "linen_core" in imported else imported)


def mentions_packages(data: bytes) -> bool:
    """Return whether a file names flax or Linen. Others are not even parsed: they may be templates or of Python 2.

    Example:
      >>> mentions_packages(b"print 1")
      False
    """
    return b"flax" in data or b"linen_" in data


def rewrite_python(data: bytes) -> Rewrite:
    r"""Rewrite a Python file.

    Raises:
      UnreadableError: it cannot be decoded or parsed.

    Example:
      >>> rewrite_python(b"import flax.linen as nn\r\n").data
      b'import linen_core as nn\r\n'
    """
    if not mentions_packages(data):
        return Rewrite(data, [])
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        bom = _BOM if data.startswith(_BOM) else b""
        encoding = encoding.removesuffix("-sig")
        text = data[len(bom) :].decode(encoding)
    except (SyntaxError, UnicodeError, LookupError) as error:
        msg = f"Cannot be decoded: {error}. Save it in UTF-8, or declare its encoding in the first line."
        raise UnreadableError(msg) from error
    edits, findings = find_edits(text)
    new = apply_edits(text.encode(), edits).decode()
    if not edits:
        return Rewrite(data, findings, packages_of(parse(text)))
    packages = packages_of(parse(new))
    return Rewrite(bom + new.encode(encoding), findings, packages)

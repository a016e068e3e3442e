"""The rules of the design hold in every file of the three packages."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator

import pytest

from contracts import rules, structure, words, workspace

ALL_SOURCES = [source for package in workspace.PACKAGES for source in workspace.sources(package)]
CORE = workspace.modules("linen-core")
MODULES = {source.module: source for source in ALL_SOURCES}
MAX_SHARE_OF_ANY = 0.08
FLOORS = workspace.project_file("")["tool"]["linen"]["floors"]


def each(*sources):
    return pytest.mark.parametrize("source", sources, ids=lambda source: source.module)


@each(*ALL_SOURCES)
@pytest.mark.parametrize(
    "rule",
    [
        rules.absolute_imports,
        rules.jax_internals_in_one_file,
        rules.face_defines_nothing,
        rules.short_file,
        rules.short_functions,
        rules.public_docstrings,
    ],
    ids=lambda rule: rule.__name__,
)
def test_file_keeps(rule, source):
    assert list(rule(source)) == []


@each(*ALL_SOURCES)
def test_file_declares_names(source):
    assert list(rules.declares_names(source, MODULES)) == []


def test_few_parameters_of_core_are_typed_any():
    found = [parameter for source in CORE.values() for parameter in rules.parameters(source)]
    untold = [where for where, annotation in found if annotation in (None, "Any")]
    assert len(untold) <= len(found) * MAX_SHARE_OF_ANY, untold


@pytest.mark.parametrize("package", workspace.PACKAGES)
def test_package_imports_only_what_it_declares(package):
    declared = workspace.declared_imports(package)
    found = [
        line
        for source in workspace.sources(package)
        for line in rules.only_declared_imports(source, declared)
    ]
    assert found == []


@pytest.mark.parametrize("package", workspace.PACKAGES)
def test_package_does_not_import_its_own_root(package):
    modules = workspace.modules(package)
    found = [
        line for source in modules.values() for line in rules.no_import_of_own_root(source, modules)
    ]
    assert found == []


@each(*ALL_SOURCES)
def test_file_imports_downwards(source):
    modules = workspace.modules(source.package.replace("_", "-"))
    assert list(rules.no_upward_import(source, FLOORS[source.package], modules)) == []


@pytest.mark.parametrize("package", FLOORS)
def test_every_floor_room_is_named_once_and_exists(package):
    rooms = [room for floor in FLOORS[package] for room in floor]
    assert len(rooms) == len(set(rooms))
    assert set(rooms) == {source.room for source in ALL_SOURCES if source.package == package}


@pytest.mark.parametrize("package", workspace.PACKAGES)
def test_package_has_no_import_circle_and_small_files(package):
    modules = workspace.modules(package)
    assert list(structure.import_circles(modules)) == []
    assert list(structure.small_median(modules)) == []


@pytest.mark.parametrize("package", workspace.PACKAGES)
def test_a_private_name_means_one_thing(package):
    assert list(structure.repeated_private_names(workspace.modules(package))) == []


@each(*ALL_SOURCES)
def test_file_is_written_in_plain_words(source):
    assert list(words.awkward_python(source.module, source.text)) == []


def test_documents_and_scripts_are_written_in_plain_words():
    found = []
    for name, text in workspace.tracked_texts():
        if name.endswith(".md"):
            found += words.awkward_markdown(name, text)
        elif name.endswith(".py") and name.startswith(("bench/", "examples/", "scripts/")):
            found += words.awkward_python(name, text)
    assert found == []


@pytest.mark.parametrize("package", ["linen-store", "linen-summary"])
def test_sister_package_uses_only_public_names_of_core(package):
    found = [
        line
        for source in workspace.sources(package)
        for line in rules.only_public_names_of_core(source, CORE)
    ]
    assert found == []


@each(*ALL_SOURCES)
def test_module_has_what_it_declares_and_documents_its_methods(source):
    module = importlib.import_module(source.module)
    names = rules.declared_names(source, MODULES) or []
    assert [name for name in names if not hasattr(module, name)] == []
    classes = [getattr(module, name) for name in names if inspect.isclass(getattr(module, name))]
    own = [cls for cls in classes if cls.__module__ == source.module]
    assert [line for cls in own for line in undocumented_methods(cls)] == []


def undocumented_methods(cls: type) -> Iterator[str]:
    """A public method without a docstring of its own or of the class it overrides."""
    for name, member in vars(cls).items():
        is_field = name in getattr(cls, "__dataclass_fields__", {})
        is_method = not is_field and (inspect.isroutine(member) or isinstance(member, property))
        texts = [getattr(vars(base).get(name), "__doc__", None) for base in cls.__mro__]
        if is_method and not name.startswith("_") and not any(texts):
            yield f"{cls.__module__}.{cls.__qualname__}.{name}"


def test_tracked_files_name_no_path_of_one_machine():
    found = [
        line
        for name, text in workspace.tracked_texts()
        if name != "tests/contracts/test_rules_catch.py"
        for line in rules.no_machine_paths(name, text)
    ]
    assert found == []

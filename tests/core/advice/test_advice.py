"""Follows the advice of each error class: the program that raised then works."""

import pathlib

import pytest

from contracts import workspace
from core.advice import layers, modules, plain, scopes, stores, transforms
from linen_core import errors

CASES = [
    case
    for topic in (layers, modules, plain, scopes, stores, transforms)
    for case in topic.CASES
]  # fmt: skip
BASES = {"FlaxError", "JaxTransformError", "LinenError", "StoreError"}
WITHOUT_ADVICE = {"DescriptorAttributeError", "StorePathError"}
# Programs that were written for flax catch them; the functions that raise them there do not fail like this here.
NEVER_RAISED = {
    "ImmutableVariableError",
    "MPACheckpointingRequiredError",
    "MPARestoreDataCorruptedError",
    "MPARestoreTargetRequiredError",
    "MultipleMethodsCompactError",
    "TraceContextError",
    "TraverseTreeError",
    "UnmappedCollectionError",  # UnliftedWriteError is raised at the write, before the collection could come out
}
FOLLOWED_ELSEWHERE = {
    "AlreadyExistsError": "../store/test_io.py",
    "InvalidCheckpointError": "../store/test_checkpoints_by_step.py",
    "PaddingWordError": "layers/test_misuse.py",
    "ScanCarryError": "transforms/test_carried_variables.py",
    "StaticArgumentError": "transforms/test_static_arguments.py",
    "StoreTracedError": "store/test_stores_in_transforms.py",
    "StructFieldError": "test_struct.py",
    "TracedFlagError": "transforms/test_static_arguments.py",
    "UnboundAxisError": "layers/test_misuse.py",
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.error.__name__)
def test_the_advice_works(case):
    with pytest.raises(case.error) as caught:
        case.wrong()
    assert type(caught.value) is case.error
    assert case.advice in str(caught.value)
    assert case.right() == case.expected


def test_every_error_class_is_covered():
    followed = {case.error.__name__ for case in CASES} & set(errors.__all__)
    groups = [followed, BASES, WITHOUT_ADVICE, NEVER_RAISED, set(FOLLOWED_ELSEWHERE)]
    assert set().union(*groups) == set(errors.__all__)
    assert sum(map(len, groups)) == len(errors.__all__)  # each in one group


def test_the_tests_elsewhere_are_there():
    folder = pathlib.Path(__file__).parents[1]
    for name, file in FOLLOWED_ELSEWHERE.items():
        assert name in (folder / file).read_text()


def test_what_is_never_raised_is_never_raised():
    for package in workspace.PACKAGES:
        for source in workspace.sources(package):
            assert not any(f"raise {name}" in source.text for name in NEVER_RAISED | BASES)

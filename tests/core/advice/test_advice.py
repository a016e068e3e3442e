"""Follows the advice of each error class: the program that raised then works."""

import pytest

from core.advice import modules, scopes, transforms

CASES = [*modules.CASES, *scopes.CASES, *transforms.CASES]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.error.__name__)
def test_the_advice_works(case):
    with pytest.raises(case.error) as caught:
        case.wrong()
    assert type(caught.value) is case.error
    assert case.advice in str(caught.value)
    assert case.right() == case.expected

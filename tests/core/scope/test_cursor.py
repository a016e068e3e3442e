"""Cursor: the names, children, flags and lifetime of a scope."""

import jax
import pytest

import linen_core as nn
from linen_core import errors

KEY = jax.random.key(0)


def root(**options):
    return nn.Scope({}, **{"rngs": {"params": KEY}, **options})


@pytest.mark.parametrize(
    ("taken_by", "asked", "expected"),
    [
        ("params", "params", True),
        ("params", "state", False),
        ("params", None, True),
        (None, "params", True),
        (None, None, True),
    ],
)
def test_a_name_is_reserved_for_a_collection_or_for_a_child(taken_by, asked, expected):
    scope = root()
    assert not scope.name_reserved("w", asked)
    scope.reserve("w", taken_by)
    assert scope.name_reserved("w", asked) is expected


def test_two_collections_may_share_a_name():
    scope = root()
    scope.reserve("w", "params")
    scope.reserve("w", "state")
    assert scope.name_reserved("w", "state")


@pytest.mark.parametrize(
    "pair", [("params", "params"), ("params", None), (None, "params"), (None, None)]
)
def test_a_taken_name_is_refused(pair):
    scope = root().push("block")
    scope.reserve("w", pair[0])
    with pytest.raises(ValueError) as caught:
        scope.reserve("w", pair[1])
    assert str(caught.value) == (
        "The name 'w' is used twice in /block. Choose another for one of the two."
    )


def test_a_name_is_a_string():
    with pytest.raises(TypeError) as caught:
        root().push("block").reserve(3)
    assert str(caught.value) == "A name in a scope must be a str; found 3, int, in /block."


def test_a_default_name_is_the_first_free_one():
    scope = root()
    for name in ("Dense_0", "Dense_2", "Conv_1"):
        scope.reserve(name)
    assert [scope.default_name(prefix) for prefix in ("Dense_", "Conv_", "")] == [
        "Dense_1",
        "Conv_0",
        "0",
    ]
    assert scope.default_name("Dense_") == "Dense_1"  # asking does not reserve


def test_push_places_a_child():
    top = root(mutable=["state"], flags={"train": True})
    child = top.push("encoder").push("Dense_0")
    assert (child.name, child.path, child.path_text) == (
        "Dense_0",
        ("encoder", "Dense_0"),
        "/encoder/Dense_0",
    )
    assert child.parent.name == "encoder"
    assert child.root is top
    assert child.run is top.run
    assert child.mutable == ["state"]
    assert child.get_flag("train") is True
    assert (top.path_text, top.root) == ("/", top)


def test_push_reserves_the_name():
    top = root()
    top.push("a")
    with pytest.raises(ValueError, match=r"^The name 'a' is used twice in /\."):
        top.push("a")
    assert top.push("a", reuse=True).path == ("a",)
    assert not top.push("b").name_reserved("a")  # each scope has names of its own


def test_push_chooses_default_names():
    top = root()
    assert [top.push(prefix="Dense_").name for _ in range(3)] == ["Dense_0", "Dense_1", "Dense_2"]


def test_a_child_sees_its_part_of_the_variables():
    top = nn.Scope({"params": {"a": {"w": 1.0, "b": {"w": 2.0}}}})
    child = top.push("a")
    assert child.get_variable("params", "w") == 1.0
    assert child.push("b").get_variable("params", "w") == 2.0
    assert top.push("c").get_variable("params", "w") is None


def test_a_rewound_scope_has_free_names_and_the_same_variables():
    scope = nn.Scope({"state": {"a": {}}}, mutable=True).push("a")
    scope.reserve("w")
    again = scope.rewound()
    again.reserve("w")
    again.put_variable("state", "n", 3)
    assert scope.get_variable("state", "n") == 3
    assert (again.path, again.parent, again.root) == (scope.path, scope.parent, scope.root)


def test_flags():
    scope = root(flags={"train": False, "mode": None})
    assert (scope.has_flag("train"), scope.has_flag("other")) == (True, False)
    assert scope.get_flag("train") is False
    assert scope.get_flag("mode", 3) is None
    assert scope.get_flag("other", None) is None


def test_a_missing_flag_is_named():
    with pytest.raises(ValueError) as caught:
        root(flags={"b": 1, "a": 2}).push("x").get_flag("train")
    assert str(caught.value) == (
        "Cannot find the flag 'train' in /x: found ['a', 'b']. Pass a default, or set the flag."
    )


def test_scopes_are_equal_if_they_share_variables_path_and_counters():
    top = root()
    child = top.push("a")
    equal = [(top, top.rewound()), (child, child.rewound()), (child, top.push("a", reuse=True))]
    for one, other in equal:
        assert one == other
        assert hash(one) == hash(other)
    different = [top, top.push("b"), child.rewound(rewind_rngs=True), root().push("a"), "a", None]
    assert [other for other in different if child == other] == []


@pytest.mark.parametrize(
    "use",
    [
        lambda scope: scope.push("b"),
        lambda scope: scope.rewound(),
        lambda scope: scope.make_rng("params"),
        lambda scope: scope.put_variable("state", "n", 1),
    ],
    ids=["push", "rewound", "make_rng", "put_variable"],
)
def test_a_scope_whose_run_has_ended_cannot_be_used(use):
    scope = root(mutable=True).push("a")
    with scope.temporary() as inside:
        assert inside is scope
        assert not scope.invalid
    assert scope.invalid
    with pytest.raises(errors.InvalidScopeError) as caught:
        use(scope)
    assert str(caught.value) == str(errors.InvalidScopeError("a"))


def test_a_temporary_scope_ends_after_an_exception_too():
    scope = root()
    with pytest.raises(KeyError), scope.temporary():
        raise KeyError
    assert scope.invalid


def test_child_binds_a_function_to_a_named_scope():
    def scale(scope, x, factor=1):
        return x * factor * scope.param("w", lambda key: 3)

    scope = root(mutable=True)
    bound = scope.child(scale, factor=5)
    assert (bound(1), bound(1, factor=2)) == (15, 6)  # the second call uses the same variable
    assert (
        scope.child(scale)(1),
        scope.child(scale, name="b")(1),
        scope.child(scale, prefix="p")(1),
    ) == (3, 3, 3)
    assert list(scope.variables()["params"]) == ["scale_0", "scale_1", "b", "p0"]


def test_the_representation_names_path_and_collections():
    assert repr(nn.Scope({"params": {}}).push("a")) == "Scope('/a', collections=['params'])"

"""One version for the three packages, the newest of the changelog."""

from __future__ import annotations

import re

import pytest

from contracts import workspace

VERSION = workspace.project_file("linen-core")["project"]["version"]


@pytest.mark.parametrize("package", workspace.PACKAGES)
def test_packages_share_one_version(package):
    assert workspace.project_file(package)["project"]["version"] == VERSION


@pytest.mark.parametrize("package", ["linen-store", "linen-summary"])
def test_sister_package_pins_core_to_the_same_version(package):
    dependencies = workspace.project_file(package)["project"]["dependencies"]
    assert f"linen-core=={VERSION}" in dependencies


def test_changelog_ends_at_the_version():
    text = (workspace.ROOT / "CHANGELOG.md").read_text("utf-8")
    released = re.findall(r"^## \[(\d[^\]]*)\]", text, flags=re.MULTILINE)
    assert released[0] == VERSION
    assert released == sorted(
        released, key=lambda name: [int(n) for n in name.split(".")], reverse=True
    )


def test_core_depends_on_jax_and_numpy_alone():
    dependencies = workspace.project_file("linen-core")["project"]["dependencies"]
    assert sorted(re.split(r"[<>=]", name)[0] for name in dependencies) == [
        "jax",
        "jaxlib",
        "numpy",
    ]


@pytest.mark.parametrize("package", workspace.PACKAGES)
def test_package_has_what_a_wheel_needs(package):
    folder = workspace.ROOT / "packages" / package
    name = package.replace("-", "_")
    assert (folder / "src" / name / "py.typed").exists()
    assert (folder / "LICENSE").read_text("utf-8") == (workspace.ROOT / "LICENSE").read_text(
        "utf-8"
    )
    assert (folder / "README.md").read_text("utf-8").startswith(f"# {package}")

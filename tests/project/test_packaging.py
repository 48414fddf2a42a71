"""What an installation holds, and that the folder gin/ does not stand in for gin-config."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

CHECKOUT = Path(__file__).parents[2]
RECIPES = {
    path.relative_to(CHECKOUT).as_posix()
    for path in (CHECKOUT / "gin").rglob("*")
    if path.is_file()
}


def build(version: str, folder: Path) -> list[str]:
    """What a wheel holds: a ``standard`` one or that of an ``editable`` installation."""
    (wheel,) = WheelBuilder(str(CHECKOUT)).build(directory=str(folder), versions=[version])
    return zipfile.ZipFile(wheel).namelist()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return build("standard", tmp_path_factory.mktemp("wheel"))


def test_the_checkout_does_not_shadow_gin_config():
    code = "import gin; print(gin.__file__, hasattr(gin, 'configurable'))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    path, is_real = done.stdout.split()
    assert is_real == "True"
    assert not Path(path).is_relative_to(CHECKOUT / "gin")


def test_gin_holds_recipes_and_is_no_package():
    assert RECIPES
    assert {Path(name).suffix for name in RECIPES} == {".gin"}


def test_the_wheel_holds_every_recipe_inside_the_package(wheel):
    packed = {name for name in wheel if name.startswith("cifarzoo/gin/")}
    assert packed == {f"cifarzoo/{name}" for name in RECIPES}


def test_the_wheel_installs_nothing_but_the_package(wheel):
    top = {name.partition("/")[0] for name in wheel}
    package, metadata = sorted(top)
    assert package == "cifarzoo"
    assert metadata.endswith(".dist-info")


@pytest.mark.parametrize("suffix", [".py", ".toml", ".gin", ".md"])
def test_the_wheel_holds_every_module_table_and_template_of_the_package(wheel, suffix):
    files = {
        path.relative_to(CHECKOUT).as_posix()
        for path in (CHECKOUT / "cifarzoo").rglob(f"*{suffix}")
    }
    assert files
    assert files <= set(wheel)


def test_an_editable_installation_holds_no_copies_and_exposes_the_package_alone(tmp_path):
    names = build("editable", tmp_path)
    installed = [name for name in names if ".dist-info/" not in name]
    assert sorted(installed) == ["_editable_impl_cifarzoo.pth", "_editable_impl_cifarzoo.py"]


def test_the_wheel_holds_the_license(wheel):
    assert [name for name in wheel if name.endswith(".dist-info/licenses/LICENSE")]

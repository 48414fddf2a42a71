"""Presets: read from source as they are when run, pickled by name, and fixed in what they bind."""

from __future__ import annotations

import inspect
import multiprocessing
import pickle
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from cifarzoo import config
from cifarzoo.components.index import Entry, scan
from cifarzoo.components.loading import import_components
from cifarzoo.components.plugins import catalogue
from cifarzoo.components.presets import Preset
from cifarzoo.components.registry import Registry, register
from cifarzoo.errors import ConfigProblemsError, PluginError
from cifarzoo.zoo.architectures.named import resnet8, resnet20, wrn28_10

START = """\
from cifarzoo import register
from cifarzoo.zoo.architectures.residual.resnet import resnet
"""
FAMILY = """
@register.schedule
def flat(level: float, *, other: int = 3):
    '''A flat line.'''
    return lambda moment: level + other
"""


def write(path: Path, source: str, start: str = START) -> Path:
    path.write_text(start + dedent(source))
    return path


def index(source: str, tmp_path: Path, start: str = START) -> list[Entry]:
    return scan(write(tmp_path / "plugin.py", source, start), "plugin", "here")


def run(source: str, registry: Registry, name: str = "typed") -> dict[str, Any]:
    """What a module with ``source`` holds, which was typed into a console."""
    module: dict[str, Any] = {"__name__": name, "register": registry}
    exec(dedent(source), module)
    return module


# What a preset is ------------------------------------------------------------------------------


def test_a_preset_calls_its_family_with_what_it_binds():
    module = run(f"{FAMILY}\nhigh = register.preset(flat, level=2.0)", Registry())
    high = module["high"]

    assert (high.__name__, high.__module__) == ("high", "typed")
    assert (high()(None), high(other=1)(None)) == (5.0, 3.0)
    assert str(inspect.signature(high)) == "(*, other: 'int' = 3)"
    assert repr(high) == "<preset high: flat(level=2.0)>"


def test_a_default_of_a_preset_can_still_be_set():
    source = f"{FAMILY}\nhigh = register.preset(flat, level=2.0, defaults={{'other': 7}})"
    high = run(source, Registry())["high"]

    assert (high()(None), high(other=1)(None)) == (9.0, 3.0)
    assert str(inspect.signature(high)) == "(*, other: 'int' = 7)"


def test_what_a_preset_binds_and_what_its_family_lacks_is_refused_in_python():
    with pytest.raises(TypeError, match=r"resnet20.depth is fixed by the preset; call resnet"):
        resnet20(10, None, depth=32)
    with pytest.raises(TypeError, match="unexpected keyword argument 'dept'"):
        resnet20(10, None, dept=32)


def test_a_preset_of_a_preset_binds_more():
    source = """
    high = register.preset(flat, level=2.0)
    higher: object = register.preset(high, other=5)
    """
    registry = Registry()
    module = run(FAMILY + dedent(source), registry)

    assert module["higher"]()(None) == 7.0
    assert registry.components["higher"].kind == "schedule"


def test_presets_are_documented_by_the_text_below_them():
    assert resnet20.__doc__ == "ResNet-20 as in the paper."
    assert inspect.getdoc(wrn28_10) == "WRN-28-10."
    assert (
        run(f"{FAMILY}\nhigh = register.preset(flat, level=2.0)", Registry())["high"].__doc__ == ""
    )


def test_presets_are_pickled_by_name():
    assert pickle.loads(pickle.dumps(resnet20)) is resnet20
    run = config.load("quickstart.gin").build()
    again = pickle.loads(pickle.dumps(run.architecture))
    assert again.func is resnet8
    assert again.keywords == run.architecture.keywords


def fixed_by(preset: Callable[..., Any]) -> dict[str, Any]:
    assert isinstance(preset, Preset)
    return preset.bound


def test_presets_cross_to_spawned_processes():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(fixed_by, [resnet20]) == [{"depth": 20}]


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("[register.preset(flat, level=2.0)]", "expected NAME = register.preset(FAMILY, argument"),
        ("a = b = register.preset(flat, level=2.0)", "expected NAME = register.preset(FAMILY"),
        ("def f():\n    x = register.preset(flat, level=2.0)\nf()", "at the top level of a module"),
        ("x = register.preset(print, level=2.0)", "print isn't registered; a preset's"),
        (
            "x = register.preset(flat, levle=2.0)",
            "x: flat has no parameter 'levle' to bind",
        ),
        ("x = register.preset(flat)", "x: it sets nothing: it would be flat under a second name"),
        ("x = register.preset(flat, level=1, defaults={'level': 2})", "x: level is both bound and"),
        ("flat = register.preset(flat, level=1.0)", "the name 'flat' is its family's"),
    ],
)
def test_a_call_that_makes_no_preset_is_refused_when_it_is_run(source: str, problem: str):
    with pytest.raises(PluginError) as caught:
        run(f"{FAMILY}\n{source}", Registry())
    assert problem in str(caught.value)
    assert str(caught.value).startswith("<string>:")


def test_the_arguments_of_the_engine_can_not_be_bound():
    source = """
    @register.architecture
    def net(num_classes, *, width: int = 3): ...

    small = register.preset(net, num_classes=3)
    """
    with pytest.raises(PluginError, match="num_classes is given by the engine; a preset can't set"):
        run(source, Registry())


# What is read from source ------------------------------------------------------------------------


def test_a_preset_is_read_with_its_family_from_another_file(tmp_path: Path):
    source = '''
    tall = register.preset(
        resnet, depth=14, defaults={"width": 8, "variant": "torch"}, num_parameters=44_000
    )
    """A taller one.

    More of it.
    """
    '''
    [entry] = index(source, tmp_path)

    assert (entry.kind, entry.name, entry.line, entry.module) == (
        "architecture",
        "tall",
        4,
        "plugin",
    )
    assert entry.doc == "A taller one.\n\nMore of it."
    assert entry.summary == "A taller one: 0.044 M parameters."
    assert entry.injected == ("num_classes", "residual", "in_channels")
    assert [(p.name, p.default) for p in entry.parameters] == [
        ("width", "8"),
        ("num_groups", "3"),
        ("block", '"basic"'),
        ("blocks", "None"),
        ("stem_stride", "1"),
        ("variant", "'torch'"),
        ("layers", "None"),
        ("shortcut", "None"),
        ("stride_at", "None"),
    ]
    assert entry.preset is not None
    assert entry.preset.family.name == "resnet"
    assert [(p.name, p.default) for p in entry.preset.bound] == [("depth", "14")]


def test_a_family_is_found_in_this_file_and_through_a_packages_imports(tmp_path: Path):
    package = tmp_path / "mine"
    package.mkdir()
    (package / "__init__.py").write_text("from .families import flat as level_line\n")
    write(package / "families.py", FAMILY)
    path = write(
        package / "named.py",
        "from mine import level_line\n"
        "high = register.preset(level_line, level=2.0)\n"
        "higher: object = register.preset(high, other=5, override=True)\n",
    )

    high, higher = scan(path, "mine.named", "here")

    assert (high.kind, high.preset.family.name) == ("schedule", "flat")
    assert (higher.parameters, higher.override) == ((), True)
    assert higher.family_with("level").name == "flat"
    assert higher.family_with("other").name == "high"


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("register.preset(resnet, depth=8)",
         "plugin.py:3: expected NAME = register.preset(FAMILY, argument=value, ...), at the top "
         "level of the file"),
        ("if True:\n  x = register.preset(resnet, depth=8)",
         "plugin.py:4: expected NAME = register.preset(FAMILY, argument=value, ...), at the top "
         "level of the file"),
        ("x = register.preset(a.resnet, depth=8)",
         "plugin.py:3: x: expected the family's own name, and nothing else by position"),
        ("x = register.preset(resnet, **more)",
         "plugin.py:3: x: ** is no literal; presets are read from source"),
        ("x = register.preset(resnet, depth=DEPTH)",
         "plugin.py:3: x: depth is no literal; presets are read from source"),
        ("x = register.preset(resnet, defaults={'depth': DEPTH})",
         "plugin.py:3: x: defaults is no literal; presets are read from source"),
        ("x = register.preset(unknown, depth=8)",
         "plugin.py:3: x: no component 'unknown' is defined in this file, or imported from a file "
         "of its own package or of cifarzoo that registers it"),
        ("x = register.preset(resnet, dept=8)",
         "plugin.py:3: x: resnet has no parameter 'dept' to bind; it has depth, width, num_groups, "
         "block, blocks, stem_stride, variant, layers, shortcut, stride_at"),
        ("x = register.preset(resnet, num_classes=8)",
         "plugin.py:3: x: num_classes is given by the engine; a preset can't set it"),
        ("run = register.preset(resnet, depth=8)",
         "plugin.py:3: run: the name 'run' is reserved"),
    ],
)  # fmt: skip
def test_a_call_that_can_not_be_read_is_refused_with_its_place(
    source: str, problem: str, tmp_path: Path
):
    with pytest.raises(PluginError) as caught:
        index(source, tmp_path)
    assert str(caught.value).replace(f"{tmp_path}/", "") == problem


def test_families_that_import_each_other_end_in_words(tmp_path: Path):
    package = tmp_path / "mine"
    package.mkdir()
    for one, other in (("a", "b"), ("b", "a")):
        source = (
            f"from mine.{other} import of_{other}\nof_{one} = register.preset(of_{other}, x=1)\n"
        )
        write(package / f"{one}.py", source)
    with pytest.raises(PluginError, match=r"of_b: no component 'of_a' is defined in this file"):
        scan(package / "a.py", "mine.a", "here")


# Presets of a plugin -----------------------------------------------------------------------------


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    source = '''
    resnet14 = register.preset(resnet, depth=14, defaults={"width": 4}, num_parameters=11_000)
    """A ResNet-14."""
    '''
    return write(tmp_path / "tall.py", source)


def loaded(plugin: Path, *sets: str) -> config.Config:
    sets = ("run.architecture=@resnet14", *sets)
    return config.load("quickstart.gin", sets=sets, plugins=[plugin])


def test_a_preset_of_a_plugin_file_is_used_as_any_component(plugin: Path):
    make = loaded(plugin, "resnet14.stem_stride=2", "resnet14.variant='torch'").build().architecture

    assert (make.func.__name__, make.func.bound) == ("resnet14", {"depth": 14})
    assert make.keywords == {"stem_stride": 2, "variant": "torch"}
    entry = catalogue(files=[plugin]).entries["resnet14"]
    import_components([entry])
    assert register.known[entry.module, "resnet14"].source == entry.source == f"{plugin}:4"


def test_what_a_preset_binds_is_refused_in_a_config_with_its_place(plugin: Path):
    with pytest.raises(ConfigProblemsError) as caught:
        loaded(plugin, "resnet14.depth=20")
    assert str(caught.value) == (
        "--set 'resnet14.depth=20': resnet14.depth is fixed by the preset; "
        "use @resnet and resnet.depth"
    )


def test_a_range_that_the_family_refuses_has_the_presets_place(plugin: Path):
    message = "^--set 'resnet14.width=0': resnet14.width is 0; expected at least 1"
    with pytest.raises(ConfigProblemsError, match=message):
        loaded(plugin, "resnet14.width=0")


# Layers in configs -------------------------------------------------------------------------------


def check(*lines: str) -> str:
    with pytest.raises(ConfigProblemsError) as caught:
        config.from_text("\n".join(["include 'quickstart.gin'", *lines]))
    return str(caught.value)


def test_a_parameter_that_went_to_the_layers_says_where_it_is():
    problem = check("run.architecture = @wide_resnet", "wide_resnet.conv_bias = False")
    assert problem == (
        "config.gin:3: wide_resnet has no parameter 'conv_bias'; wide_resnet.layers has it: write "
        "wide_resnet.layers = @NAME and NAME.conv_bias (@autoaugment_layers, @flax2020_layers, "
        "@he2015_layers, @paper_layers, @torch_layers)"
    )


def test_layers_of_another_kind_or_with_parentheses_are_refused():
    start = "run.architecture = @wide_resnet"
    for value, problem in {
        "@cosine": "wide_resnet.layers is @schedule.cosine; expected layers (@autoaugment_layers,",
        "'paper_layer'": "is 'paper_layer'; expected layers; did you mean @paper_layers? or None",
        "@paper_layers()": "write @paper_layers without (); the engine makes the component",
    }.items():
        assert problem in check(start, f"wide_resnet.layers = {value}")


def test_a_convention_of_layers_that_the_run_has_not_is_refused():
    problem = check("run.architecture = @wide_resnet", "flax2020_layers.bn_eps = 1e-3")
    assert "flax2020_layers.bn_eps changes nothing: this run has no @flax2020_layers" in problem


def test_layers_and_their_scopes_reach_the_run():
    text = """
    include 'quickstart.gin'
    run.architecture = @wide_resnet
    wide_resnet.layers = @biased/paper_layers
    paper_layers.bn_eps = 1e-3
    biased/paper_layers.conv_bias = True
    """
    found = config.from_text(dedent(text))

    layers = found.build().architecture.keywords["layers"]
    assert (layers.func.__name__, layers.keywords) == (
        "paper_layers",
        {"bn_eps": 1e-3, "conv_bias": True},
    )
    assert "architecture.wide_resnet.layers = @biased/layers.paper_layers\n" in found.text()
    assert config.from_text(found.text()).text() == found.text()


def test_a_range_that_layers_refuse_has_the_layers_place():
    text = "include 'quickstart.gin'\nresnet8.layers = @paper_layers\npaper_layers.bn_eps = 2.0\n"
    message = r"^config.gin:3: paper_layers.bn_eps is 2.0; expected above 0 to below 1"
    with pytest.raises(ConfigProblemsError, match=message):
        config.from_text(text)

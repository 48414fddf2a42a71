"""What is read from source: every way to register, everything a component takes, every refusal."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from cifarzoo.components.index import Entry, root, scan
from cifarzoo.components.kinds import FACTORIES, KINDS
from cifarzoo.components.loading import import_components
from cifarzoo.components.plugins import catalogue
from cifarzoo.components.presets import Preset
from cifarzoo.components.registry import register
from cifarzoo.components.run import Run
from cifarzoo.config.types import to_type
from cifarzoo.errors import PluginError

IMPORT = "from cifarzoo import register\n"


def index(source: str, tmp_path: Path, start: str = IMPORT) -> list[Entry]:
    path = tmp_path / "plugin.py"
    path.write_text(start + dedent(source))
    return scan(path, "plugin", "here")


def refused(source: str, tmp_path: Path, start: str = IMPORT) -> str:
    with pytest.raises(PluginError) as caught:
        index(source, tmp_path, start)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(f"{tmp_path}/", "")


# The zoo ---------------------------------------------------------------------------------------

ZOO = {name: e for name, e in catalogue().entries.items() if e.origin == "cifarzoo"}


@pytest.fixture(scope="module")
def factories() -> dict[str, Any]:
    import_components(ZOO.values())
    return {name: register.known[entry.module, name].factory for name, entry in ZOO.items()}


def test_the_index_lists_what_importing_the_zoo_registers(factories: dict[str, Any]):
    import importlib
    import pkgutil

    import cifarzoo.zoo

    for module in pkgutil.walk_packages(cifarzoo.zoo.__path__, "cifarzoo.zoo."):
        importlib.import_module(module.name)
    registered = {
        (component.kind, name)
        for (module, name), component in register.known.items()
        if module.startswith("cifarzoo.zoo.")
    }

    assert registered == {(entry.kind, entry.name) for entry in ZOO.values()}
    assert {entry.kind for entry in ZOO.values()} == set(KINDS)


@pytest.mark.parametrize("name", ZOO)
def test_an_entry_says_what_the_imported_factory_says(name: str, factories: dict[str, Any]):
    entry, factory = ZOO[name], factories[name]
    takes = inspect.signature(factory).parameters

    assert entry.doc == inspect.getdoc(factory)
    assert entry.doc
    assert [p.name for p in entry.parameters] == [n for n in takes if n not in entry.injected]
    assert set(entry.injected) == set(takes) & set(KINDS[entry.kind].injected)
    for parameter in entry.parameters:
        default = takes[parameter.name].default
        if parameter.default is None:
            assert default is inspect.Parameter.empty
        else:
            assert ast.literal_eval(parameter.default) == default
    if isinstance(factory, Preset):
        assert factory.source == entry.source
        return
    lines, start = inspect.getsourcelines(factory)
    assert start <= entry.line < start + len(lines)


@pytest.mark.parametrize("name", [*ZOO, "run"])
def test_every_annotation_is_understood_and_means_what_it_means_to_python(
    name: str, factories: dict[str, Any]
):
    entry = root() if name == "run" else ZOO[name]
    factory = Run if name == "run" else factories[name]
    meant = inspect.signature(factory).parameters
    module = inspect.getmodule(getattr(factory, "family", factory))
    stand_ins = {alias: type(alias, (), {}) for alias in FACTORIES}

    for parameter in entry.parameters:
        assert parameter.annotation is not None, f"{name}.{parameter.name} has no annotation"
        theirs = meant[parameter.name].annotation
        if isinstance(theirs, str):
            theirs = eval(theirs, {**vars(module), **stand_ins})
        assert to_type(parameter.annotation, stand_ins) == theirs


def test_the_root_is_run_as_python_has_it():
    fields = inspect.signature(Run).parameters

    assert [p.name for p in root().parameters] == list(fields)
    assert root().doc == inspect.getdoc(Run)
    assert root().summary == "One training: what is trained, how, and for how long."
    required = [p.name for p in root().parameters if p.default is None]
    assert required == ["architecture", "dataset", "optimizer", "schedule"]


# Ways to register ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "decorator"),
    [
        ("from cifarzoo import register\n", "register.schedule"),
        ("from cifarzoo import register\n", "register.schedule()"),
        ("from cifarzoo import register\n", "register.schedule(override=False)"),
        ("from cifarzoo import register as r\n", "r.schedule"),
        ("from cifarzoo.components.registry import register\n", "register.schedule"),
        ("import cifarzoo\n", "cifarzoo.register.schedule"),
        ("from cifarzoo import registry\n", "registry.register.schedule"),
        ("try:\n  from cifarzoo import register\nexcept ImportError: ...\n", "register.schedule"),
    ],
)
def test_every_way_to_write_the_decorator_is_seen(start: str, decorator: str, tmp_path: Path):
    [entry] = index(f"@{decorator}\ndef flat(): ...\n", tmp_path, start)

    assert (entry.kind, entry.name, entry.override) == ("schedule", "flat", False)
    assert entry.source == f"{tmp_path}/plugin.py:{start.count(chr(10)) + 2}"
    assert (entry.module, entry.origin) == ("plugin", "here")


def test_an_override_is_seen(tmp_path: Path):
    [entry] = index("@register.schedule(override=True)\ndef flat(): ...", tmp_path)

    assert entry.override


def test_other_registries_are_left_alone(tmp_path: Path):
    source = """
    register = object()

    @register.schedule
    @app.register.schedule
    @register
    def flat(): ...

    def unregistered(): ...
    """

    assert index(source, tmp_path, start="from elsewhere import app\n") == []


# What a component takes --------------------------------------------------------------------------


def takes(source: str, tmp_path: Path) -> Sequence[tuple[str, str | None, str | None]]:
    [entry] = index(source, tmp_path)
    return [(p.name, p.annotation, p.default) for p in entry.parameters]


def test_a_function_takes_what_its_signature_says_but_for_the_engines(tmp_path: Path):
    source = '''
    @register.optimizer
    def adam(params, lr: float = 1e-3, *, betas: "Sequence[float]" = (0.9, 0.99), eps):
        """Adam.

        More of it.
        """
    '''
    [entry] = index(source, tmp_path)

    assert [(p.name, p.annotation, p.default) for p in entry.parameters] == [
        ("lr", "float", "1e-3"),
        ("betas", "Sequence[float]", "(0.9, 0.99)"),
        ("eps", None, None),
    ]
    assert entry.injected == ("params",)
    assert entry.doc == "Adam.\n\nMore of it."
    assert entry.summary == "Adam."


def test_a_class_takes_what_its_init_says(tmp_path: Path):
    source = """
    @register.regularizer
    class Noise:
        ignored: int = 3

        def __init__(self, scale: float = 1.0) -> None: ...
    """

    assert takes(source, tmp_path) == [("scale", "float", "1.0")]


def test_a_dataclass_takes_its_fields_and_those_of_its_bases(tmp_path: Path):
    source = """
    import dataclasses
    from dataclasses import dataclass, field, KW_ONLY
    from typing import ClassVar

    @dataclass
    class Base:
        scale: float
        size: int = 3

    class Between(Base):
        not_a_field: int = 3

    @register.regularizer
    @dataclasses.dataclass(frozen=True)
    class Noise(Between, Unknown):
        _: KW_ONLY
        shared: ClassVar[int] = 3
        size: float = 4
        names: list[str] = field(default_factory=list)
        hidden: int = field(init=False, default=3)
        count: int = field(default=5, repr=False)
    """

    assert takes(source, tmp_path) == [
        ("scale", "float", None),
        ("size", "float", "4"),
        ("names", "list[str]", "list()"),
        ("count", "int", "5"),
    ]


def test_aliases_are_spelled_out_through_the_package(tmp_path: Path):
    package = tmp_path / "zoo_of_mine"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text("Size = int | None\n")
    (package / "types.py").write_text(
        "from typing import Literal\nfrom . import Size\n"
        "Mode = Literal['Size', 'b']\nBoth = Mode | Size\nLoop = list['Loop']\n"
    )
    source = package / "inner" / "nets.py"
    source.write_text(
        "from cifarzoo import register\nfrom cifarzoo.protocols import Per, ScheduleFactory\n"
        "from ..types import Both as B, Loop\nfrom zoo_of_mine.types import Mode\n"
        "from elsewhere import Other\n"
        "@register.schedule\n"
        "def flat(*, a: B, b: Mode, c: Per, d: ScheduleFactory, e: Other, f: Loop, g: 'x y'): ..."
    )

    [entry] = scan(source, "zoo_of_mine.inner.nets", "here")

    assert [p.annotation for p in entry.parameters] == [
        "Literal['Size', 'b'] | (int | None)",
        "Literal['Size', 'b']",
        "Literal['sample', 'batch']",
        "ScheduleFactory",
        "Other",
        "list[Loop]",
        "'x y'",
    ]


def test_no_code_of_an_annotation_or_a_default_is_run(tmp_path: Path):
    source = "@register.schedule\ndef flat(*, a: print(1) = print(1)): ...\n"

    [(_, annotation, default)] = takes(source, tmp_path)

    assert annotation == default == "print(1)"
    with pytest.raises(LookupError):
        to_type(annotation, {})


# What is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("def f(:\n", "plugin.py:2: invalid syntax"),
        ("@register.architecture\ndef net(width): ...",
         "plugin.py:3: the architecture net takes no num_classes; "
         "the engine gives it to each architecture"),
        ("@register.optimizer\ndef sgd(lr): ...",
         "plugin.py:3: the optimizer sgd takes no params; the engine gives it to each optimizer"),
        ("@register.dataset\ndef mnist(): ...",
         "plugin.py:3: the dataset mnist takes no folder; the engine gives it to each dataset"),
        ("@register.schedule\ndef flat(**options): ...",
         "plugin.py:3: flat takes **options, which hides misspelt settings; name its arguments"),
        ("@register.schedule\ndef flat(a, /): ...",
         "plugin.py:3: flat takes a by position only; expected an argument with a name"),
        ("@register.schedule\ndef flat(*a): ...",
         "plugin.py:3: flat takes a by position only; expected an argument with a name"),
        ("@register.schedule\ndef run(): ...", "plugin.py:3: the name 'run' is reserved"),
        ("@register.optimiser\ndef sgd(params): ...",
         "plugin.py:3: no component kind 'optimiser'; did you mean optimizer?"),
        ("@register.root\nclass Run: ...",
         f"plugin.py:3: no component kind 'root'; the kinds are {', '.join(KINDS)}"),
        ("@register.schedule('flat')\ndef f(): ...",
         "plugin.py:3: expected @register.<kind> or @register.<kind>(override=True); "
         "the component's name is that of its definition, f"),
        ("@register.schedule(override=YES)\ndef f(): ...",
         "plugin.py:3: expected @register.<kind> or @register.<kind>(override=True); "
         "the component's name is that of its definition, f"),
        ("if True:\n  @register.schedule\n  def f(): ...",
         "plugin.py:4: f is registered inside a block; move it to the top level"),
        ("x = " + "(" * 500 + ")" * 500, "plugin.py:2: too many nested parentheses"),
        ("x = '\0'", "plugin.py: source code string cannot contain null bytes"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_with_its_place(source: str, problem: str, tmp_path: Path):
    assert refused(source, tmp_path) == problem


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path):
    with pytest.raises(PluginError, match=r"gone\.py: it cannot be read: No such file"):
        scan(tmp_path / "gone.py", "gone", "here")
    (tmp_path / "latin.py").write_bytes(b"x = '\xe9'\n")
    with pytest.raises(PluginError, match=r"latin.py:1: .*utf-8"):
        scan(tmp_path / "latin.py", "latin", "here")


def test_a_warning_about_anothers_source_is_not_shown(tmp_path: Path):
    [entry] = index("@register.schedule\ndef flat(a: str = '\\d'): ...", tmp_path)

    assert entry.parameters[0].default == "'\\d'"

"""The decorator: it names a factory, changes nothing of it, and refuses what can't be used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gin  # noqa: TID251  # what registering is for
import pytest

from cifarzoo.components.registry import Registry, register
from cifarzoo.errors import PluginError


@pytest.fixture
def registry() -> Registry:
    return Registry()


def in_module(module: str, factory: Callable[..., Any]) -> Callable[..., Any]:
    factory.__module__ = module
    return factory


def net(num_classes: int, *, width: int = 3) -> int:
    return num_classes * width


def test_registering_returns_the_factory_unchanged(registry: Registry):
    assert registry.architecture(net) is net
    assert registry.architecture()(net) is net
    assert net(2) == 6
    assert registry.components["net"].factory is net
    assert registry.components["net"].kind == "architecture"


def test_a_registered_factory_is_configured_by_gin_alone(registry: Registry):
    registry.architecture(net)
    gin.clear_config()
    try:
        gin.parse_config("architecture.net.width = 5")
        assert gin.get_configurable("net")(num_classes=2) == 10
        assert net(num_classes=2) == 6
        with pytest.raises(ValueError, match="num_classes"):
            gin.parse_config("net.num_classes = 5")
    finally:
        gin.clear_config()


def test_an_unknown_kind_names_the_kinds(registry: Registry):
    with pytest.raises(AttributeError, match="no component kind 'optimiser'; the kinds are archit"):
        registry.optimiser  # noqa: B018


def refused_architecture(registry: Registry, factory: Callable[..., Any], problem: str) -> None:
    line = factory.__code__.co_firstlineno
    with pytest.raises(PluginError, match=problem) as caught:
        registry.architecture(factory)
    assert str(caught.value).startswith(f"{__file__}:{line}: ")
    assert caught.value.exit_code == 2
    assert factory.__name__ not in registry.components


def test_a_factory_that_the_engine_cannot_call_is_refused(registry: Registry):
    def no_classes(width: int) -> None: ...
    def pass_through(num_classes: int, **options: int) -> None: ...
    def positional(num_classes: int, /) -> None: ...
    def several(num_classes: int, *widths: int) -> None: ...

    expected = "the architecture no_classes takes no num_classes; the engine gives it"
    refused_architecture(registry, no_classes, expected)
    expected = r"pass_through takes \*\*options, which hides misspelt settings; name its arguments"
    refused_architecture(registry, pass_through, expected)
    expected = "positional takes num_classes by position only; expected an argument with a name"
    refused_architecture(registry, positional, expected)
    expected = "several takes widths by position only; expected an argument with a name"
    refused_architecture(registry, several, expected)


def test_names_that_gin_cannot_keep_apart_are_refused(registry: Registry):
    def macro(num_classes: int) -> None: ...
    def réseau(num_classes: int) -> None: ...  # noqa: PLC2401  # what is tested

    refused_architecture(registry, macro, "the name 'macro' is reserved")
    expected = "the name 'réseau' cannot be written in a .gin file; use ASCII letters"
    refused_architecture(registry, réseau, expected)


def two() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Two schedules of one name, from two modules."""

    def flat() -> int:
        return 1

    first = in_module("one", flat)

    def flat() -> int:
        return 2

    return first, in_module("two", flat)


def test_a_clash_names_both_places(registry: Registry):
    first, second = two()
    registry.schedule(first)
    places = [f"{__file__}:{factory.__code__.co_firstlineno}" for factory in (second, first)]

    with pytest.raises(PluginError) as caught:
        registry.augmentation(second)

    assert str(caught.value) == (
        f"{places[0]}: 'flat' is already the schedule of {places[1]}; "
        "pick another name or register it with override=True"
    )
    assert registry.components["flat"].factory is first


def test_an_override_takes_the_name_whichever_is_imported_first(registry: Registry):
    first, second = two()
    other = Registry()

    registry.schedule(first)
    registry.schedule(second, override=True)
    other.schedule(override=True)(second)
    other.schedule(first)

    assert registry.components["flat"].factory is second
    assert other.components["flat"].factory is second


def test_a_module_that_is_imported_again_replaces_its_own(registry: Registry):
    first, second = two()
    registry.schedule(in_module("one", first))
    registry.schedule(in_module("one", second))

    assert registry.components["flat"].factory is second


def test_one_file_under_two_module_names_is_no_clash(registry: Registry):
    first, _ = two()
    again, _ = two()
    registry.schedule(first)
    registry.schedule(in_module("another", again))

    assert registry.components["flat"].factory is first


def test_while_the_index_vouches_for_names_a_clash_is_none_and_the_importer_chooses(
    registry: Registry,
):
    first, second = two()
    registry.schedule(first)
    with registry.indexed():
        registry.schedule(second)

    assert registry.components["flat"].factory is first
    registry.activate(registry.known["two", "flat"])
    assert registry.components["flat"].factory is second
    registry.activate(registry.known["one", "flat"])
    assert registry.components["flat"].factory is first
    with pytest.raises(PluginError, match="is already the schedule"):
        registry.schedule(in_module("three", two()[1]))


def test_a_class_is_its_own_factory_and_knows_its_place(registry: Registry):
    @registry.regularizer
    class Nothing:
        """Regularizes nothing."""

    component = registry.components["Nothing"]
    assert component.factory is Nothing
    assert component.source.startswith(f"{__file__}:")
    assert type(component.factory()) is Nothing


def test_what_was_typed_into_a_console_can_be_registered(registry: Registry):
    typed: dict[str, Any] = {"__name__": "console"}
    exec("class Typed: ...\ndef typed(): ...", typed)

    registry.schedule(typed["typed"])
    registry.regularizer(typed["Typed"])

    assert registry.components["typed"].source == "<string>:2"
    assert registry.components["Typed"].source == "console"


def test_the_run_is_the_root_of_configs():
    from cifarzoo.components.run import Run

    assert "run" not in register.components
    assert gin.get_configurable("cifarzoo.run")(
        architecture=net, dataset=net, optimizer=net, schedule=net
    ) == Run(architecture=net, dataset=net, optimizer=net, schedule=net)


def test_gins_package_is_not_shadowed_by_the_folder_of_recipes():
    assert hasattr(gin, "external_configurable")
    assert gin.__file__ is not None

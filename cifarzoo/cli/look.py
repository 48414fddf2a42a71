"""``ls``, ``show`` and ``check``: what there is, what it is, and whether a config is fine.

Only ``show CONFIG`` imports torch, to build the network on the meta device.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from cifarzoo.cli import completion, drawing, layer_table, selection
from cifarzoo.cli.loading import ConfigOptions
from cifarzoo.cli.options import (
    ConfigNames,
    DataFolder,
    Json,
    Plugins,
    RunsFolder,
    Sets,
    TrustPlugins,
)
from cifarzoo.cli.terminal import console
from cifarzoo.components.user_paths import expanded
from cifarzoo.errors import CifarzooError, ConfigError, UntrustedPluginError, UsageError
from cifarzoo.run_folders.strict_json import strict_json

Image: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--image",
        metavar="FILE",
        help="Draw it instead (.png, .pdf or .svg): images as an augmentation, a regularizer of "
        "batches or a config makes them; or the learning rates of a schedule.",
        show_default=False,
    ),
]

if TYPE_CHECKING:
    from cifarzoo.components.index import Entry
    from cifarzoo.components.plugins import Catalogue
    from cifarzoo.config import Config
    from cifarzoo.engine.assembly.describe import Description
    from cifarzoo.run_folders.folder import RunFolder


def ls(
    what: Annotated[
        str | None,
        typer.Argument(
            help=f"{', '.join(selection.PLURALS.values())}; or a component's name, or part of one.",
            metavar="KIND",
            autocompletion=completion.kinds_and_components,
            show_default=False,
        ),
    ] = None,
    pattern: Annotated[
        str | None,
        typer.Argument(
            help="Names to list, as 'wrn*'.",
            metavar="PATTERN",
            autocompletion=completion.components,
            show_default=False,
        ),
    ] = None,
    *,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Parameters too, and summaries whole.")
    ] = False,
    as_json: Json = False,
    plugins: Plugins = None,
) -> None:
    """List components, or the recipes (ls configs)."""
    from cifarzoo.cli.terminal import listing
    from cifarzoo.components.plugins import catalogue
    from cifarzoo.config import recipes

    found = catalogue(files=plugins or ())
    query = selection.understand(what, pattern, components=[*found.entries], recipes=[*recipes()])
    if query.correction:
        console.warn(f"there is no {what!r}; taken for {query.correction}")
    if query.kind == selection.CONFIG:
        everything = [selection.of_recipe(*recipe) for recipe in recipes().items()]
    else:
        everything = [selection.of_component(entry) for entry in found.entries.values()]
    items = query.select(everything)
    if query.is_everything:
        items += [selection.of_broken(*each) for each in found.broken]
    elif query.kind != selection.CONFIG:
        _warn_of_broken(found)
    if as_json:
        typer.echo(strict_json([item.to_json() for item in items], indent=2))
    elif what or verbose:
        listing.print_items(console.results(), items, is_verbose=verbose)
    else:
        listing.print_overview(console.results(), items)
    if not items and not as_json:
        console.warn(f"nothing matches {query.pattern!r}" if query.pattern else "there is nothing")


def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A component; a config, by its path or the name of a recipe; or a run, by its "
            "folder, name, the start of its id, or 'latest'.",
            autocompletion=completion.everything,
            show_default=False,
        ),
    ],
    *,
    sets: Sets = None,
    plugins: Plugins = None,
    data: DataFolder = None,
    out: RunsFolder = Path("runs"),
    trust_plugins: TrustPlugins = False,
    as_json: Json = False,
    image: Image = None,
    layers: Annotated[
        bool,
        typer.Option(
            "--layers",
            help="A network layer by layer: outputs, parameters, and operations on an image.",
        ),
    ] = False,
) -> None:
    """Describe a component; a config and what it builds; or a run and what it came to."""
    from cifarzoo import config
    from cifarzoo.components.spelling import near

    if image is not None and (layers or as_json):
        other = "--layers" if layers else "--json"
        raise UsageError(f"--image and {other} ask for two views; give one of them")
    known = {} if name.endswith(".gin") else _components(plugins or [])
    options = ConfigOptions(sets=sets or (), plugins=plugins or (), trusts=trust_plugins)
    if image is not None:
        drawing.draw(name, known.get(name), image, options=options, data=data)
    elif layers:
        layer_table.print_layers(name, known.get(name), options=options, data=data, as_json=as_json)
    elif name in known:
        _show_component(name, known, as_json=as_json)
    elif run := _run(name, out):
        of_configs = {"--set": sets, "--plugin": plugins}
        if odd := [option for option, value in of_configs.items() if value]:
            raise UsageError(f"{odd[0]} has no effect on a run, which keeps its own")
        _show_run(run, as_json=as_json)
    elif _is_config(name):
        show_config(options.load(name), data=data, as_json=as_json)
    else:
        close = (
            near(name, [*known, *config.recipes()])
            or "; cifarzoo ls lists them, and cifarzoo runs the runs"
        )
        raise UsageError(f"no component {name!r}{close}")


def check(
    names: ConfigNames,
    *,
    sets: Sets = None,
    plugins: Plugins = None,
    as_json: Json = False,
) -> None:
    """Check configs without running them: every problem, a line each."""
    from cifarzoo import config
    from cifarzoo.components.trust import shown

    exit_code = 0
    verdicts = []
    for name in names:
        try:
            checked = config.load(name, sets=sets or (), plugins=plugins or ())
        except CifarzooError as error:
            if not as_json:
                console.show_error(error)
            exit_code = error.exit_code
            verdicts.append(_verdict(name, problems=str(error).splitlines()))
        else:
            console.warn_of(checked)
            reached = [entry.name for entry in checked.components()]
            later = checked.checked_at_run()
            untrusted = shown(checked.untrusted())
            if not as_json:
                console.say(f"{name}: fine ({', '.join(reached)})")
                for plugin in untrusted:
                    console.say(f"  {plugin} is code that run needs --trust-plugins for")
                for setting, declared in later.items():
                    console.say(
                        f"  {setting} is checked by run: {declared} is known to its code alone"
                    )
            verdicts.append(_verdict(name, components=reached, later=[*later], untrusted=untrusted))
    if as_json:
        typer.echo(strict_json(verdicts, indent=2))
    if exit_code:
        raise typer.Exit(exit_code)


def _verdict(
    name: str,
    *,
    components: Sequence[str] = (),
    problems: Sequence[str] = (),
    later: Sequence[str] = (),
    untrusted: Sequence[str] = (),
) -> dict[str, Any]:
    """What ``check --json`` says of one config."""
    return {
        "config": name,
        "fine": not problems,
        "components": list(components),
        "problems": list(problems),
        "checked_by_run": list(later),
        "untrusted_plugins": list(untrusted),
    }


def show_config(config: Config, *, data: Path | None, as_json: bool, world_size: int = 1) -> None:
    """Print the resolved config and what it would build, or write both as JSON."""
    from cifarzoo.cli.terminal import config_summary

    description, messages = _described(config, data=data, world_size=world_size)
    if as_json:
        typer.echo(strict_json(config_summary.to_json(config, description), indent=2))
    else:
        config_summary.print_summary(console.results(), config, description)
    for message in messages:
        console.warn(message)


def _described(
    config: Config, *, data: Path | None, world_size: int
) -> tuple[Description | None, list[str]]:
    """What ``config`` would build, and warnings; None: that takes code that nobody vouched for."""
    from cifarzoo.engine.assembly.describe import describe

    try:
        with config.locating():
            description = describe(config.build(), data=data, world_size=world_size)
    except UntrustedPluginError as error:  # a run is looked at before it is trusted
        return None, [f"what it builds isn't shown: {error}"]
    return description, description.warnings


def _is_config(name: str) -> bool:
    return name == "-" or name.endswith(".gin") or os.sep in name or _is_recipe(name)


def _is_recipe(name: str) -> bool:
    from cifarzoo.config.files import find_config

    try:
        find_config(name)
    except ConfigError:
        return False
    return True


def _run(name: str, out: Path) -> RunFolder | None:
    """The run called ``name``; None: it means a config, or nothing.

    Raises:
        UsageError: Several runs are called so.
    """
    from cifarzoo.run_folders.finding import NoSuchRunError, find_run
    from cifarzoo.run_folders.folder import check_length, holds_run

    path = expanded(name)
    try:
        check_length(path)
    except UsageError:  # no path at all
        return None
    is_config = name.endswith(".gin") or name == "-" or path.is_file() or _is_recipe(name)
    if (is_config or path.is_dir()) and not holds_run(path):
        return None
    try:
        return find_run(name, out)
    except NoSuchRunError:
        return None


def _show_run(folder: RunFolder, *, as_json: bool) -> None:
    from cifarzoo.cli.terminal import run_card
    from cifarzoo.results.run_details import read_details

    details = read_details(folder)
    if as_json:
        typer.echo(strict_json(details.to_json(), indent=2))
    else:
        run_card.print_card(console.results(), details)


def _components(plugins: list[Path]) -> dict[str, Entry]:
    """What ``show`` describes by name, ``run`` too."""
    from cifarzoo.components.index import root
    from cifarzoo.components.plugins import catalogue
    from cifarzoo.components.root import ROOT

    found = catalogue(files=plugins)
    _warn_of_broken(found)
    return {ROOT: root(), **found.entries}


def _show_component(name: str, known: dict[str, Entry], *, as_json: bool) -> None:
    from cifarzoo.cli.terminal import component_card
    from cifarzoo.components.root import ROOT

    entry, others = known[name], [each for each in known.values() if each.kind != ROOT]
    if as_json:
        typer.echo(strict_json(component_card.to_json(entry, others), indent=2))
    else:
        component_card.print_card(console.results(), entry, others)


def _warn_of_broken(found: Catalogue) -> None:
    for origin, problem in found.broken:
        console.warn(f"the plugin {origin} cannot be used: {problem}")

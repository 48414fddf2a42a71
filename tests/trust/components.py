"""R5: every registered component, plugins too, is resumed in mid-epoch to the same bytes.

The list is the catalogue's and the settings are those of ``test_every_component.py``; a
component without a row there, such as a plugin's, is tried with its own defaults.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch

from cifarzoo import config
from cifarzoo.api.execution import RankJob, train_rank
from cifarzoo.cli.terminal.progress import listener_for
from cifarzoo.components.index import Entry
from cifarzoo.components.plugins import catalogue
from cifarzoo.errors import CifarzooError
from cifarzoo.run_folders.folder import adopt
from tests.components.test_every_component import (
    DROPPED,
    FULL_SIZE,
    HUB,
    SETTINGS,
    SMALLEST,
    chosen,
)
from tests.small_cifar import small, write_parquets
from tests.small_teacher import with_teacher
from tests.trust.attempts import attempt
from tests.trust.cases import COMPARED, EQUAL, FAULTS, HUNG, Budget, Check, Outcome
from tests.trust.kill_points import arm
from tests.trust.workload import Patch, differences, finals, leftovers, saved_step

PLUGINS = Path(__file__).parents[2] / "plugins"
# Steps of a run, the one that it dies after, and the interval of its checkpoints. An epoch has
# six steps: a small run dies in the middle of its second epoch, one of full size of its first.
LENGTHS = {"run.epochs": "2", "run.max_steps": "10", "run.checkpoint_steps": "4"}
DIES_AFTER, GOES_ON_FROM = 9, 8
FULL_LENGTHS = {"run.epochs": "1", "run.max_steps": "3", "run.checkpoint_steps": "1"}
FULL_DIES_AFTER, FULL_GOES_ON_FROM = 2, 1


def plugin_files() -> list[Path]:
    """The plugins of this checkout: single files, and packages as the file that registers."""
    packages = PLUGINS.glob("*/src/**/*.py")
    registering = [path for path in packages if "@register." in path.read_text(encoding="utf-8")]
    return sorted([*PLUGINS.glob("*.py"), *registering])


def entries() -> list[Entry]:
    """Every component there is, in the order of kinds and names."""
    found = catalogue([str(path) for path in plugin_files()]).entries.values()
    return sorted(found, key=lambda entry: (entry.kind, entry.name))


def config_text(entry: Entry) -> str:
    """The smallest run that uses a component."""
    name = entry.name
    settings = SETTINGS.get(name, {})
    lengths = FULL_LENGTHS if is_full_size(entry) else LENGTHS
    bindings = {**SMALLEST, **lengths, **chosen(name, entry.kind), **settings}
    used = " ".join(bindings.values())
    return with_teacher(
        "".join(
            f"{key} = {value}\n"
            for key, value in bindings.items()
            if key.partition(".")[0] not in DROPPED or f"@{key.partition('.')[0]}" in used
        )
    )


def is_full_size(entry: Entry) -> bool:
    """Whether it is a network whose steps take seconds."""
    return FULL_SIZE.items() <= SETTINGS.get(entry.name, {}).items()


def train_component(
    root: Path, name: str, text: str, data: Path | None, patches: tuple[Patch, ...] = ()
) -> int:
    """Train ``root/name`` as the command line does on one rank; its exit code."""
    torch.set_num_threads(1)
    for patch in patches:
        patch()
    try:
        job = RankJob(
            config=config.from_text(text, plugins=plugin_files(), name="component"),
            folder=root / name,
            data=data,
            argv=("cifarzoo",),
            progress=partial(listener_for, False),
        )
        train_rank(job)
    except CifarzooError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def every_component(budget: Budget) -> Iterator[Outcome]:
    """Kill a run of each component in mid-epoch, go on with it, compare with a whole run."""
    chosen = entries()
    if budget.is_fast:
        chosen = [entry for entry in chosen if not is_full_size(entry)][::6]
    for entry in chosen:
        yield _resume(budget.scratch, entry)


def _resume(root: Path, entry: Entry) -> Outcome:
    data = None
    if entry.name in HUB:
        data = root / entry.name
        archive, labels_are = HUB[entry.name]
        write_parquets(data, small(of=archive), labels_are=labels_are)
    full = is_full_size(entry)
    dies_after = FULL_DIES_AFTER if full else DIES_AFTER
    plugins = [str(path) for path in plugin_files()]
    text = config.from_text(config_text(entry), plugins=plugins).text()
    whole, died = (adopt(root / f"{entry.name}-{way}", text)[0] for way in ("whole", "died"))
    job, log = (root, died.path.name, text, data), root / f"{entry.name}.log"
    kill = partial(arm, "after a step", rank=0, at=dies_after)
    done = attempt(train_component, root, whole.path.name, text, data, log=log)
    killed = attempt(train_component, *job, (kill,), log=log)
    at = saved_step(died)
    resumed = attempt(train_component, *job, log=log)
    problems = [
        f"{what} ended with {ended.code}: {ended.said.strip()[-300:]}"
        for what, ended in (("the whole run", done), ("resuming", resumed))
        if ended.code
    ]
    problems += ["was not killed"] * (killed.code == 0)
    problems += [f"had a checkpoint of step {at}"] * (
        at != (FULL_GOES_ON_FROM if full else GOES_ON_FROM)
    )
    differing = [] if problems else differences(finals(whole), finals(died))
    problems += [f"differs in {', '.join(differing)}"] if differing else []
    problems += [f"leaves {file}" for file in leftovers(died)]
    origin = "" if entry.origin == "cifarzoo" else ", a plugin's"
    return Outcome(
        name=f"{entry.kind} {entry.name}{origin}",
        passed=not problems,
        figure="; ".join(problems) or f"went on from step {at}, byte-equal",
        counts={
            FAULTS: 1,
            COMPARED: 1,
            EQUAL: int(not problems),
            HUNG: done.hung + killed.hung + resumed.hung,
        },
    )


CHECKS = (
    Check(
        id="R5",
        title="SIGKILL in mid-epoch of a run of each registered component, plugins too",
        run=every_component,
    ),
)

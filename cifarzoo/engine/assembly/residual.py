"""The residual port: what the run's regularizers do inside a residual block.

An architecture writes ``shortcut(x) + self.residual(x)`` with
``self.residual = residual(make_path, Site(index, total))`` and knows no regularizer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from torch import Tensor, nn

from cifarzoo.components.regularizers import Regularizer, Site, acting_in
from cifarzoo.errors import ConfigError
from cifarzoo.randomness.gates import Counts, SiteDraws, built_apart, next_owner, own_dropouts

T = TypeVar("T")


class Branches(nn.Module):
    """Parallel paths, then the regularizers' modules on what they give.

    In a state dict a single path has the names that it has without regularizers, so that what was
    trained with stochastic depth is loaded by a network without. Weights of the regularizers' own
    modules, and of several paths, have names of their own.
    """

    def __init__(self, paths: Iterable[nn.Module], stages: Iterable[nn.Module]) -> None:
        super().__init__()
        self.paths = nn.ModuleList(paths)
        self.stages = nn.ModuleList(stages)
        taken = {"paths", "stages"} & {name for name, _ in self.paths[0].named_children()}
        if len(self.paths) == 1 and not taken:
            # Functions of the module that they are given: a copy of the network has them too.
            self.register_state_dict_post_hook(_leave_out_the_path)  # type: ignore[no-untyped-call]  # torch's
            self.register_load_state_dict_pre_hook(_put_in_the_path)  # type: ignore[no-untyped-call]  # torch's

    def forward(self, x: Tensor) -> Tensor:
        """The block's residual for its input x (N, C, H, W)."""
        outputs: list[Tensor] = [path(x) for path in self.paths]
        residual: Any = outputs if len(outputs) > 1 else outputs[0]
        for stage in self.stages:
            residual = stage(residual)
        merged: Tensor = residual
        return merged


PATH = "paths.0."  # in the name of each tensor of a single path


def _leave_out_the_path(
    _module: nn.Module, state: dict[str, Any], prefix: str, _metadata: Mapping[str, Any]
) -> None:
    for name in [name for name in state if name.startswith(f"{prefix}{PATH}")]:
        state[f"{prefix}{name.removeprefix(f'{prefix}{PATH}')}"] = state.pop(name)


def _put_in_the_path(_module: nn.Module, state: dict[str, Any], prefix: str, *_others: Any) -> None:
    """Before names are looked for; those of an older cifarzoo have the path already."""
    own = (f"{prefix}paths.", f"{prefix}stages.")
    for name in [n for n in state if n.startswith(prefix) and not n.startswith(own)]:
        state[f"{prefix}{PATH}{name.removeprefix(prefix)}"] = state.pop(name)


class ResidualPort:
    """Builds the residual of each block for one run (``cifarzoo.protocols.Residual``).

    Args:
        regularizers: Those of the run, by the names that key their random numbers, or in a list,
            then named as a config would; those with a ``branch`` stage act here, in their order.

    Raises:
        ConfigError: More than one merges parallel paths, or the one that does isn't first.
    """

    def __init__(
        self, regularizers: Mapping[str, Regularizer] | Sequence[Regularizer] = ()
    ) -> None:
        by_name = regularizers if isinstance(regularizers, Mapping) else named(regularizers)
        self.acting = acting_in("branch", by_name)
        mergers = [name for name, r in self.acting.items() if r.num_paths > 1]
        if len(mergers) > 1 or (mergers and next(iter(self.acting)) != mergers[0]):
            raise ConfigError(
                f"lists {', '.join(self.acting)} inside residual blocks; expected at most one that "
                "merges parallel paths, before the others",
                parameter="regularizers",
            )
        self.num_paths = self.acting[mergers[0]].num_paths if mergers else 1
        self._built, self._gates, self._dropouts = Counts(), Counts(), Counts()

    def __call__(self, make_path: Callable[[], nn.Module], site: Site) -> nn.Module:
        """See ``cifarzoo.protocols.Residual``.

        Raises:
            ConfigError: A regularizer needs a final norm and the site has none.
        """
        needy = [name for name, r in self.acting.items() if r.needs_final_norm]
        if needy and not site.final_norm:
            raise ConfigError(
                f"has {needy[0]}, which needs residual paths that end in a normalisation, and this "
                "architecture's don't; see whether it has a final_norm",
                parameter="regularizers",
            )
        stages = [stage for name in self.acting if (stage := self._stage(name, site)) is not None]
        if self.num_paths == 1 and not stages:
            return make_path()
        others = [
            self._apart(f"path {number}", site, make_path)
            for number in range(2, self.num_paths + 1)
        ]
        return Branches([make_path(), *others], stages)

    def _stage(self, name: str, site: Site) -> nn.Module | None:
        draws = SiteDraws(name, site.index, self._gates)
        make = partial(self.acting[name].branch, replace(site, draws=draws))
        stage: Any = self._apart(name, site, make)
        if stage is None or isinstance(stage, nn.Module):
            return stage
        raise ConfigError(
            f"has {name}, whose branch gives {type(stage).__name__}; expected a torch.nn.Module or "
            "None",
            parameter="regularizers",
        )

    def _apart(self, name: str, site: Site, make: Callable[[], T]) -> T:
        """What ``make`` gives, its first weights and dropout masks keyed by name and site."""
        with built_apart(next_owner(name, site.index, self._built)):
            made = make()
        if isinstance(made, nn.Module):
            own_dropouts(made, name, site.index, self._dropouts)
        return made


def named(regularizers: Iterable[Regularizer]) -> dict[str, Regularizer]:
    """Regularizers that were made in Python, by the names that a config would give them.

    A class is called as its factory is: ``ShakeDrop``, ``shake_drop``.
    """
    found: dict[str, Regularizer] = {}
    for regularizer in regularizers:
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(regularizer).__name__).lower()
        found[numbered(name, found)] = regularizer
    return found


def numbered(name: str, taken: Collection[str]) -> str:
    """``name``, or ``name#2`` and so on where a list has it more than once."""
    repeated = sum(1 for other in taken if other.partition("#")[0] == name)
    return f"{name}#{repeated + 1}" if repeated else name

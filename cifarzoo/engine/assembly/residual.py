"""The residual port: what the run's regularizers do inside a residual block.

An architecture writes ``shortcut(x) + self.residual(x)`` with
``self.residual = residual(make_path, Site(index, total))`` and knows no regularizer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from cifarzoo.components.regularizers import Regularizer, Site, acting_stages
from cifarzoo.errors import ConfigError
from cifarzoo.randomness.gates import SiteDraws


class Branches(nn.Module):
    """Parallel paths, then the regularizers' modules on what they give."""

    def __init__(self, paths: Iterable[nn.Module], stages: Iterable[nn.Module]) -> None:
        super().__init__()
        self.paths = nn.ModuleList(paths)
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> Tensor:
        """The block's residual for its input x (N, C, H, W)."""
        outputs: list[Tensor] = [path(x) for path in self.paths]
        residual: Any = outputs if len(outputs) > 1 else outputs[0]
        for stage in self.stages:
            residual = stage(residual)
        merged: Tensor = residual
        return merged


class ResidualPort:
    """Builds the residual of each block for one run (``cifarzoo.protocols.Residual``).

    Args:
        regularizers: The run's; those with a ``branch`` stage act here, in their order.

    Raises:
        ConfigError: More than one merges parallel paths, or the one that does isn't first.
    """

    def __init__(self, regularizers: Sequence[Regularizer] = ()) -> None:
        self.acting = [r for r in regularizers if "branch" in acting_stages(r)]
        mergers = [r for r in self.acting if r.num_paths > 1]
        if len(mergers) > 1 or (mergers and self.acting[0] is not mergers[0]):
            names = ", ".join(map(component_name, self.acting))
            raise ConfigError(
                f"lists {names} inside residual blocks; expected at most one that merges parallel "
                "paths, before the others",
                parameter="regularizers",
            )
        self.num_paths = mergers[0].num_paths if mergers else 1

    def __call__(self, make_path: Callable[[], nn.Module], site: Site) -> nn.Module:
        """See ``cifarzoo.protocols.Residual``.

        Raises:
            ConfigError: A regularizer needs a final norm and the site has none.
        """
        needy = [r for r in self.acting if r.needs_final_norm]
        if needy and not site.final_norm:
            raise ConfigError(
                f"has {component_name(needy[0])}, which needs residual paths that end in a "
                "normalisation, and this architecture's don't; see whether it has a final_norm",
                parameter="regularizers",
            )
        site = replace(site, draws=SiteDraws())
        stages = [stage for r in self.acting if (stage := _stage(r, site)) is not None]
        if self.num_paths == 1 and not stages:
            return make_path()
        return Branches([make_path() for _ in range(self.num_paths)], stages)


def _stage(regularizer: Regularizer, site: Site) -> nn.Module | None:
    stage: Any = regularizer.branch(site)
    if stage is None or isinstance(stage, nn.Module):
        return stage
    raise ConfigError(
        f"has {component_name(regularizer)}, whose branch gives {type(stage).__name__}; expected a "
        "torch.nn.Module or None",
        parameter="regularizers",
    )


def component_name(regularizer: Regularizer) -> str:
    """The gin name of ``regularizer``, if it is called as its factory: ShakeDrop, shake_drop."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(regularizer).__name__).lower()

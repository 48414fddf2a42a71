"""Which parameters are decayed: named policies, and the two groups an optimizer is made from.

A parameter is judged by the module that owns it: norm layers by their type, biases by their
own name, everything else by its number of dimensions. Never by the name of a layer, unless the
network itself names it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from torch import nn

from cifarzoo.components.hooks import ExemptsFromDecay
from cifarzoo.errors import ConfigError

Named: TypeAlias = list[tuple[str, nn.Parameter]]

NORMS: tuple[type[nn.Module], ...] = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.SyncBatchNorm,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.RMSNorm,
)
WITH_KERNELS: tuple[type[nn.Module], ...] = (  # whose weight (1, D), say, is a kernel too
    nn.Linear,
    nn.Bilinear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
    nn.Embedding,
    nn.MultiheadAttention,
)


@dataclass(frozen=True)
class Traits:
    """What policies ask about a parameter.

    Attributes:
        is_norm: Whether it is the scale or shift of a normalisation.
        is_bias: Whether its module calls it ``bias`` (attention: ``in_proj_bias``).
        is_kernel: Whether it has more than one dimension and is none of a normalisation.
        is_vector: Whether it has at most one dimension; or one that isn't 1, where it is none of
            torch's layers: a scale (1, C, 1, 1), a class token (1, 1, D).
        is_exempt: Whether a module's ``no_weight_decay()`` names it.
    """

    is_norm: bool
    is_bias: bool
    is_kernel: bool
    is_vector: bool
    is_exempt: bool


# flax2020: Flax kept BatchNorm's scale and shift as (1, 1, 1, C) until 2020-03-27 and decayed
# whatever had more than one dimension; the published rows of its examples/cifar10 are older.
# kernels: what the same line of code has meant since.
# no_norm_bias: timm's convention (its param_groups_weight_decay), for scales of any shape.
POLICIES: dict[str, Callable[[Traits], bool]] = {
    "all": lambda _: True,
    "kernels": lambda traits: traits.is_kernel,
    "flax2020": lambda traits: traits.is_kernel or traits.is_norm,
    "no_norm_bias": lambda traits: (
        not (traits.is_norm or traits.is_bias or traits.is_vector or traits.is_exempt)
    ),
}


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """What a policy makes of a model: its trained parameters by name, in the model's order.

    Attributes:
        policy: Name of the policy.
        decayed: Parameters that are decayed.
        spared: Parameters that are not decayed.
        norm_biases: Names of the shifts of normalisations.
    """

    policy: str
    decayed: Named
    spared: Named
    norm_biases: set[str] = field(default_factory=set)

    def groups(
        self, norm_bias_lr_scale: float = 1.0, layer_scales: Mapping[str, float] | None = None
    ) -> list[dict[str, Any]]:
        """The groups for an optimizer: decayed and not. Either may be empty.

        Args:
            norm_bias_lr_scale: Factor on the learning rate of the shifts of normalisations;
                unless it is 1, each group is followed by one of its shifts, with an ``lr_scale``.
            layer_scales: Factors on the learning rates of parameters by name; then each group is
                one for each factor, the largest first, with a ``layer_scale``; None: none.
        """
        groups: list[dict[str, Any]] = []
        for named, options in ((self.decayed, {}), (self.spared, {"weight_decay": 0.0})):
            if norm_bias_lr_scale == 1:
                groups += _by_layer(named, layer_scales, options)
                continue
            others = [(name, each) for name, each in named if name not in self.norm_biases]
            shifts = [(name, each) for name, each in named if name in self.norm_biases]
            groups += _by_layer(others, layer_scales, options)
            scaled = {"lr_scale": norm_bias_lr_scale, **options}
            groups += _by_layer(shifts, layer_scales, scaled)
        return groups

    @property
    def names(self) -> set[str]:
        """Names of all its parameters."""
        return {name for name, _ in (*self.decayed, *self.spared)}

    def summary(self) -> str:
        """One line on how many tensors and values are decayed."""
        return (
            f"{self.policy}: {len(self.decayed):,} tensors, {count(self.decayed):,} values "
            f"decayed; {len(self.spared):,} tensors, {count(self.spared):,} values spared"
        )


def _by_layer(
    named: Named, layer_scales: Mapping[str, float] | None, options: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """A group of these parameters, or one for each factor on their rates."""
    if layer_scales is None:
        return [{"params": [parameter for _, parameter in named], **options}]
    by_scale: dict[float, list[nn.Parameter]] = {}
    for name, parameter in named:
        by_scale.setdefault(layer_scales[name], []).append(parameter)
    return [
        {"params": by_scale[scale], "layer_scale": scale, **options}
        for scale in sorted(by_scale, reverse=True)
    ]


def count(named: Named) -> int:
    """Values in all the tensors of ``named``."""
    return sum(parameter.numel() for _, parameter in named)


def split(model: nn.Module, policy: str, *, trained: Set[str] | None = None) -> Coverage:
    """Divide the trained parameters of ``model`` into decayed and spared ones.

    Args:
        model: Any network; a parameter that several modules share counts once, as the
            first's.
        policy: A name in ``POLICIES``.
        trained: Names of the parameters that are trained in some step; None: those that are now.

    Raises:
        ConfigError: There is no such policy.
    """
    if policy not in POLICIES:
        raise ConfigError(
            f"is {policy!r}; expected {', '.join(POLICIES)}", parameter="weight_decay_policy"
        )
    coverage = Coverage(policy=policy, decayed=[], spared=[])
    owners = dict(model.named_modules())
    exempt = exempted(model)
    for name, parameter in model.named_parameters():
        if not (parameter.requires_grad if trained is None else name in trained):
            continue
        owner, _, own_name = name.rpartition(".")
        traits = _traits(owners[owner], own_name, parameter, is_exempt=name in exempt)
        if traits.is_norm and traits.is_bias:
            coverage.norm_biases.add(name)
        is_decayed = POLICIES[policy](traits)
        (coverage.decayed if is_decayed else coverage.spared).append((name, parameter))
    return coverage


def apply_lr_scales(optimizer: Any) -> None:
    """Multiply the learning rate of the optimizer's groups by ``lr_scale`` and ``layer_scale``.

    Their weight decay is divided by the first, so that what a step decays, the product of the two,
    stays as it was. By the second it is not: a layer that learns less is decayed less.
    """
    for group in optimizer.param_groups:
        group["lr"] *= group.get("layer_scale", 1.0)
        scale = group.get("lr_scale", 1.0)
        if scale != 1:
            group["lr"] *= scale
            group["weight_decay"] /= scale


def exempted(model: nn.Module) -> set[str]:
    """Names of the parameters that a module of ``model`` wants spared.

    A module says so by a method ``no_weight_decay`` that gives their names, as timm's networks
    have it; names count from that module, and those that it doesn't have don't count.
    """
    return {
        f"{prefix}.{name}" if prefix else str(name)
        for prefix, module in model.named_modules()
        if isinstance(module, ExemptsFromDecay)
        for name in module.no_weight_decay()
    }


def _traits(owner: nn.Module, own_name: str, parameter: nn.Parameter, *, is_exempt: bool) -> Traits:
    is_norm = isinstance(owner, NORMS)
    long = [size for size in parameter.shape if size != 1]
    return Traits(
        is_norm=is_norm,
        is_bias=own_name == "bias" or own_name.endswith("_bias"),
        is_kernel=parameter.ndim > 1 and not is_norm,
        is_vector=parameter.ndim <= 1 or (len(long) <= 1 and not isinstance(owner, WITH_KERNELS)),
        is_exempt=is_exempt,
    )

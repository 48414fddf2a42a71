"""What networks, and the layers that they are made of, must give."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cifarzoo.components.hooks import DataInitialised
from cifarzoo.components.protocols import IMAGE_SHAPE
from cifarzoo.components.regularizers import Site
from cifarzoo.engine.assembly.build import build_model, make
from cifarzoo.engine.assembly.failures import unfit
from cifarzoo.engine.assembly.residual import ResidualPort
from cifarzoo.engine.assembly.trials import check_network
from cifarzoo.errors import ConfigError
from cifarzoo.randomness.global_generators import seed_generators
from cifarzoo.testing.subject import Subject

NUM_CLASSES = 7  # not the 10 that all else is tried with
NUM_IMAGES = 4
SMALL_IMAGE, LARGE_IMAGE = (1, 32, 32), (3, 64, 64)


def check_logits(subject: Subject, _folder: Path) -> None:
    """Build it for another number of classes, and other images where it asks for their shape.

    Raises:
        ConfigError: It fails, or doesn't give logits (N, K).
    """
    _check_built(subject, NUM_CLASSES, IMAGE_SHAPE)
    injected = subject.entry.injected
    shapes = {"in_channels": SMALL_IMAGE, "image_size": LARGE_IMAGE}
    for shape in (shape for name, shape in shapes.items() if name in injected):
        try:
            _build(subject, num_classes=10, image_shape=shape)
        except ConfigError:  # it says which images it is for
            continue
        _check_built(subject, 10, shape)


def _check_built(subject: Subject, num_classes: int, shape: tuple[int, int, int]) -> None:
    model = _build(subject, num_classes=num_classes, image_shape=shape)
    check_network(model, num_classes=num_classes, name=subject.name, image_shape=shape)


def _build(
    subject: Subject,
    *,
    num_classes: int = 10,
    image_shape: tuple[int, int, int] = IMAGE_SHAPE,
) -> nn.Module:
    components = subject.components()
    model = build_model(
        subject.run.architecture,
        num_classes=num_classes,
        image_shape=image_shape,
        regularizers=components.regularizers,
        seed=0,
    )
    for module in model.modules():
        if isinstance(module, DataInitialised):
            module.initialise_from(_images(64, image_shape))
    return model


def _images(number: int = NUM_IMAGES, shape: tuple[int, int, int] = IMAGE_SHAPE) -> Tensor:
    return torch.randn(number, *shape, generator=torch.Generator().manual_seed(0))


def check_gradients(subject: Subject, _folder: Path) -> None:
    """One pass there and back in training mode.

    Raises:
        ConfigError: Logits or gradients aren't finite float32, or nothing is trained.
    """
    model = _build(subject).train()
    logits = model(_images())
    if logits.dtype != torch.float32:
        raise unfit(subject.name, f"gives logits of {logits.dtype}; expected torch.float32")
    F.cross_entropy(logits, torch.arange(NUM_IMAGES)).backward()  # type: ignore[no-untyped-call]  # torch's
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    if not gradients:
        raise unfit(subject.name, "has no parameter that the loss depends on")
    for name, gradient in gradients.items():
        if not bool(torch.isfinite(gradient).all()):
            raise unfit(subject.name, f"gives {name} a gradient that is not finite")


def check_evaluation(subject: Subject, _folder: Path) -> None:
    """Pass test images twice, and one of them alone.

    Raises:
        ConfigError: An image has other logits the second time, or alone.
    """
    model, images = _build(subject), _images()
    model.train()
    with torch.no_grad():
        for seed in range(3):  # running statistics of these images
            seed_generators(seed, "torch")
            model(images)
        model.eval()
        first, second, alone = model(images), model(images), model(images[:1])
    if not torch.equal(first, second):
        raise unfit(
            subject.name,
            "gives other logits for the same images in evaluation mode; expected nothing random "
            "where self.training is False",
        )
    if not torch.allclose(first[:1], alone, rtol=1e-3, atol=1e-3):
        raise unfit(
            subject.name,
            "gives an image other logits when it is alone in evaluation mode; expected statistics "
            "of training there, and none of the batch",
        )


class _Recording(ResidualPort):
    """Notes the sites that a network asks for, and how many channels their residuals have."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.sites: list[Site] = []
        self.channels: dict[int, int] = {}

    def __call__(self, make_path: Callable[[], nn.Module], site: Site) -> nn.Module:
        self.sites.append(site)
        made = super().__call__(make_path, site)

        def note(_module: nn.Module, _inputs: Any, residual: Tensor) -> None:
            self.channels[site.index] = residual.shape[1]

        made.register_forward_hook(note)
        return made


def check_sites(subject: Subject, _folder: Path) -> None:
    """Build it with a residual port that notes what it is asked.

    Raises:
        ConfigError: Sites aren't numbered from 1, or say something else than is so.
    """
    if "residual" not in subject.entry.injected:
        return
    port = _Recording(subject.components().regularizers)
    channels, *size = IMAGE_SHAPE
    offered = {"num_classes": 10, "in_channels": channels, "image_size": tuple(size)}
    model = make(subject.run.architecture, "architecture", **offered, residual=port)
    with torch.no_grad():
        model.eval()(_images())
    if not port.sites:
        raise unfit(subject.name, "takes residual and never calls it; leave it out")
    expected = [(index, len(port.sites)) for index in range(1, len(port.sites) + 1)]
    given = [(site.index, site.total) for site in port.sites]
    if given != expected:
        raise unfit(subject.name, f"has the sites (index, total) {given}; expected {expected}")
    for site in port.sites:
        has = port.channels.get(site.index, site.channels)
        if site.channels not in (None, has):
            said = f"says that the residual of site {site.index} has {site.channels} channels"
            raise unfit(subject.name, f"{said}; it has {has}")


def check_layers(subject: Subject, _folder: Path) -> None:
    """Make a layer of each kind.

    Raises:
        ConfigError: One gives another shape than it should.
    """
    layers = make(subject.run.architecture.keywords["layers"], "layers")  # type: ignore[attr-defined]  # a partial
    images = _images(2, (4, 8, 8))
    for size in (1, 3, 5):
        for stride, groups in ((1, 1), (2, 1), (1, 4)):
            options = {"groups": groups} if groups > 1 else {}
            conv = layers.conv(4, 8, size, stride, **options)
            asked = f"conv(4, 8, {size}, {stride}{', groups=4' * (groups > 1)})"
            _check_shape(subject, asked, conv(images), (2, 8, 8 // stride, 8 // stride))
    _check_shape(subject, "norm(4)", layers.norm(4)(images), (2, 4, 8, 8))
    _check_shape(subject, "dense(4, 10)", layers.dense(4, 10)(images.mean((2, 3))), (2, 10))


def _check_shape(subject: Subject, asked: str, given: Tensor, expected: tuple[int, ...]) -> None:
    if tuple(given.shape) != expected:
        raise unfit(
            subject.name, f"makes {asked} that gives {tuple(given.shape)}; expected {expected}"
        )

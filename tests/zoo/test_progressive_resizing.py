from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as vision

from cifarzoo.engine.runner import execute
from cifarzoo.errors import ConfigError
from cifarzoo.protocols import Passed, Timestamp
from cifarzoo.zoo.architectures.classic.teaching import lenet
from cifarzoo.zoo.regularizers.network.progressive_resizing import progressive_resizing, resized
from tests.tiny import tiny_task


@pytest.mark.parametrize(("shape", "size"), [((32, 32), 24), ((32, 48), 20), ((28, 28), 28)])
def test_images_are_resized_as_torchvision_does(shape, size):
    images = torch.rand(3, 2, *shape)

    found = resized(images, size)

    torch.testing.assert_close(found, vision.resize(images, [size], antialias=True))
    assert found.is_contiguous(memory_format=torch.channels_last)


SEEN: list[tuple[bool, int]] = []  # whether in training, and the size


class NotesSizes(nn.Module):
    """A network that notes the sizes of the images that it sees."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(3, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        if images.device.type != "meta" and len(images) > 2:  # no trial
            SEEN.append((self.training, images.shape[2]))
        logits: Tensor = self.head(images.mean((2, 3)))
        return logits


def test_training_goes_from_small_images_to_whole_ones_and_tests_see_whole_ones(tmp_path):
    SEEN.clear()
    resizing = partial(progressive_resizing, sizes=[16, 24], until=[0.25, 0.5])
    result = execute(
        tiny_task(tmp_path, architecture=NotesSizes, regularizers=[resizing], epochs=2)
    )

    trained = [size for is_training, size in SEEN if is_training][-result.steps :]
    quarter = result.steps // 4
    assert trained == [16] * quarter + [24] * quarter + [32] * (result.steps - 2 * quarter)
    assert result.steps % 4 == 0
    assert {size for is_training, size in SEEN if not is_training} == {32}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"sizes": [0]}, r"sizes\[0\] is 0; expected at least 1"),
        ({"sizes": [], "until": []}, "sizes is empty; expected at least one size"),
        ({"sizes": [16, 24]}, r"until is \[0.6\]; expected a share for each of 2 sizes"),
        ({"sizes": [16, 24], "until": [0.6, 0.4]}, "rising"),
        ({"until": [1.5]}, r"until\[0\] is 1.5; expected above 0 to 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(setting, message):
    with pytest.raises(ConfigError, match=message):
        progressive_resizing(**setting)


def test_sizes_that_the_network_does_not_take_are_refused_before_a_run(tmp_path):
    resizing = partial(progressive_resizing, sizes=[24, 16], until=[0.25, 0.5])
    words = (
        r"sizes has 24, and the network fails on images of 24 x 24: RuntimeError: .* that it takes"
    )
    with pytest.raises(ConfigError, match=words):
        execute(tiny_task(tmp_path, architecture=lenet, regularizers=[resizing]))


def test_that_memory_is_short_is_left_to_the_engine_to_say():
    def forward(_images: Tensor, _targets: Tensor) -> Passed:
        raise torch.OutOfMemoryError

    forward.moment = Timestamp(0, 1, 10)
    with pytest.raises(torch.OutOfMemoryError):
        progressive_resizing().network(forward, torch.zeros(2, 3, 32, 32), torch.zeros(2, 10), None)

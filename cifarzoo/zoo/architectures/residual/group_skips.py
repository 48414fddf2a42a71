"""The extra skips of the Wide ResNet in AutoAugment's code (Cubuk et al., 2019; arXiv:1805.09501).

The input of each group of blocks is added to its output, and that of all groups to the last.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn
from torch.nn import functional as F

from cifarzoo.zoo.architectures.residual.blocks import ChannelPadding, add_shortcut


class GroupSkips(nn.ModuleList):
    """Groups of blocks, with each group's input and that of all groups added to their outputs.

    What goes past a group is the mean over as many pixels as become one, with zeros for
    missing channels. The sum is the next group's input. What went into the first group is
    added to the last sum in the same way.

    Args:
        groups: Groups in their order; each but the first halves the image.
        padding: Where missing channels are; see ``add_shortcut``.
    """

    def __init__(self, groups: Iterable[nn.Module], padding: ChannelPadding) -> None:
        super().__init__(groups)
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        """The last group's output, with all that was added, for x (N, C, H, W)."""
        start = x
        for number, group in enumerate(self):
            x = add_shortcut(group(x), pooled(x, 2 if number else 1), self.padding)
        return add_shortcut(x, pooled(start, 2 ** (len(self) - 1)), self.padding)


def pooled(x: Tensor, stride: int) -> Tensor:
    """The means of x (N, C, H, W) over stride by stride pixels."""
    return F.avg_pool2d(x, stride) if stride > 1 else x

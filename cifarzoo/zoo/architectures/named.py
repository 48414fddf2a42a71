"""Networks by the names that papers and codes give them, each a family with its settings.

What stands under ``defaults`` can still be set, as can all that isn't named; the rest is what
the name means. A network's number of parameters is checked by a test.
"""

from __future__ import annotations

from cifarzoo import register
from cifarzoo.zoo.architectures.residual.pyramidnet import pyramidnet
from cifarzoo.zoo.architectures.residual.resnet import resnet
from cifarzoo.zoo.architectures.residual.shake_resnet import shake_resnet
from cifarzoo.zoo.architectures.residual.wide_resnet import wide_resnet
from cifarzoo.zoo.architectures.speedrun.airbench import airbench

# A table, three lines a network.
# fmt: off

resnet8 = register.preset(resnet, depth=8, shortcut="conv1x1", defaults={"stem_stride": 2},
                          num_parameters=78_042)
"""A ResNet for first runs on a CPU."""

resnet20 = register.preset(resnet, depth=20, num_parameters=269_722)
"""ResNet-20 as in the paper."""

resnet18 = register.preset(resnet, depth=18, num_groups=4, variant="torch",
                           defaults={"width": 64}, num_parameters=11_173_962)
"""ResNet-18 as in kuangliu/pytorch-cifar."""

wrn26_2 = register.preset(wide_resnet, blocks_per_group=4, widen_factor=2,
                          defaults={"dropout_rate": 0.3}, num_parameters=1_555_658)
"""The Flax example's WRN-26-2 (others' 28-2)."""

wrn26_10 = register.preset(wide_resnet, blocks_per_group=4, widen_factor=10,
                           defaults={"dropout_rate": 0.3}, num_parameters=38_557_770)
"""The Flax example's WRN-26-10 (others' 28-10)."""

wrn28_10 = register.preset(wide_resnet, blocks_per_group=4, widen_factor=10,
                           defaults={"variant": "paper"}, num_parameters=36_479_194)
"""WRN-28-10."""

wrn40_10 = register.preset(wide_resnet, blocks_per_group=6, widen_factor=10,
                           defaults={"variant": "paper"}, num_parameters=55_841_754)
"""WRN-40-10."""

wrn26_6_ss = register.preset(shake_resnet, blocks_per_group=4, widen_factor=6,
                             num_parameters=26_953_898)
"""The Flax example's 26 2x96d for shake-shake."""

shake26_2x32d = register.preset(shake_resnet, blocks_per_group=4, widen_factor=2,
                                defaults={"variant": "paper"}, num_parameters=2_923_162)
"""Shake-Shake-26 2x32d."""

shake26_2x64d = register.preset(shake_resnet, blocks_per_group=4, widen_factor=4,
                                defaults={"variant": "paper"}, num_parameters=11_653_978)
"""Shake-Shake-26 2x64d."""

shake26_2x96d = register.preset(shake_resnet, blocks_per_group=4, widen_factor=6,
                                defaults={"variant": "paper"}, num_parameters=26_192_922)
"""Shake-Shake-26 2x96d."""

pyramid = register.preset(pyramidnet, depth=272, alpha=200.0, block="bottleneck",
                          num_parameters=26_109_432)
"""The Flax example's PyramidNet-272, alpha 200."""

pyramid110_a84 = register.preset(pyramidnet, depth=110, alpha=84.0, block="basic",
                                 defaults={"variant": "paper"}, num_parameters=3_904_446)
"""PyramidNet-110 of basic blocks, alpha 84."""

pyramid110_a270 = register.preset(pyramidnet, depth=110, alpha=270.0, block="basic",
                                  defaults={"variant": "paper"}, num_parameters=28_485_477)
"""PyramidNet-110 of basic blocks, alpha 270."""

pyramid164_a270 = register.preset(pyramidnet, depth=164, alpha=270.0, block="bottleneck",
                                  defaults={"variant": "paper"}, num_parameters=27_216_021)
"""PyramidNet-164 of bottlenecks, alpha 270."""

pyramid272_a200 = register.preset(pyramidnet, depth=272, alpha=200.0, block="bottleneck",
                                  defaults={"variant": "paper_table"}, num_parameters=26_046_428)
"""PyramidNet-272 of bottlenecks, alpha 200."""

airbench94 = register.preset(airbench, widths=(64, 256, 256), num_parameters=1_972_792)
"""The speed-run network for 94 %."""

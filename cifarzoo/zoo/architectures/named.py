"""Networks by the names that papers and codes give them, each a family with its settings.

What stands under ``defaults`` can still be set, as can all that isn't named; the rest is what
the name means. A network's number of parameters is checked by a test.
"""

from __future__ import annotations

from cifarzoo import register
from cifarzoo.zoo.architectures.classic.densenet import densenet
from cifarzoo.zoo.architectures.classic.vgg import vgg
from cifarzoo.zoo.architectures.residual.preact_resnet import preact_resnet
from cifarzoo.zoo.architectures.residual.pyramidnet import pyramidnet
from cifarzoo.zoo.architectures.residual.regnet import regnet_x
from cifarzoo.zoo.architectures.residual.resnet import resnet
from cifarzoo.zoo.architectures.residual.resnext import resnext
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

airbench95 = register.preset(airbench, widths=(128, 384, 384), num_parameters=4_606_520)
"""The speed-run network for 95 %."""

airbench96 = register.preset(airbench, widths=(128, 384, 512), num_convs=3,
                             num_parameters=9_918_776)
"""The speed-run network for 96 %."""

resnet32 = register.preset(resnet, depth=32,
                           num_parameters=464_154)
"""ResNet-32 as in the paper."""

resnet44 = register.preset(resnet, depth=44,
                           num_parameters=658_586)
"""ResNet-44 as in the paper."""

resnet56 = register.preset(resnet, depth=56,
                           num_parameters=853_018)
"""ResNet-56 as in the paper."""

resnet110 = register.preset(resnet, depth=110,
                            num_parameters=1_727_962)
"""ResNet-110 as in the paper."""

resnet1202 = register.preset(resnet, depth=1202,
                             num_parameters=19_421_274)
"""ResNet-1202 as in the paper."""

resnet34 = register.preset(resnet, depth=34, blocks=(3, 4, 6, 3), num_groups=4, block="basic",
                           variant="torch", defaults={"width": 64}, num_parameters=21_282_122)
"""ResNet-34 as in kuangliu/pytorch-cifar."""

resnet50 = register.preset(resnet, depth=50, blocks=(3, 4, 6, 3), num_groups=4, block="bottleneck",
                           variant="torch", defaults={"width": 64}, num_parameters=23_520_842)
"""ResNet-50 as in kuangliu/pytorch-cifar."""

resnet101 = register.preset(resnet, depth=101, blocks=(3, 4, 23, 3), num_groups=4,
                            block="bottleneck",
                            variant="torch", defaults={"width": 64}, num_parameters=42_512_970)
"""ResNet-101 as in kuangliu/pytorch-cifar."""

resnet152 = register.preset(resnet, depth=152, blocks=(3, 8, 36, 3), num_groups=4,
                            block="bottleneck",
                            variant="torch", defaults={"width": 64}, num_parameters=58_156_618)
"""ResNet-152 as in kuangliu/pytorch-cifar."""

preact_resnet18 = register.preset(preact_resnet, depth=18, block="basic", num_groups=4,
                                  defaults={"width": 64}, num_parameters=11_172_170)
"""Pre-activation ResNet-18, of four groups."""

preact_resnet34 = register.preset(preact_resnet, depth=34, block="basic", blocks=(3, 4, 6, 3),
                                  num_groups=4, defaults={"width": 64}, num_parameters=21_280_330)
"""Pre-activation ResNet-34, of four groups."""

preact_resnet50 = register.preset(preact_resnet, depth=50, block="bottleneck",
                                  blocks=(3, 4, 6, 3), num_groups=4,
                                  defaults={"width": 64}, num_parameters=23_513_162)
"""Pre-activation ResNet-50, of four groups."""

preact_resnet101 = register.preset(preact_resnet, depth=101, block="bottleneck",
                                   blocks=(3, 4, 23, 3), num_groups=4,
                                   defaults={"width": 64}, num_parameters=42_505_290)
"""Pre-activation ResNet-101, of four groups."""

preact_resnet152 = register.preset(preact_resnet, depth=152, block="bottleneck",
                                   blocks=(3, 8, 36, 3), num_groups=4,
                                   defaults={"width": 64}, num_parameters=58_148_938)
"""Pre-activation ResNet-152, of four groups."""

preact_resnet110 = register.preset(preact_resnet, depth=110, block="basic",
                                   num_parameters=1_730_522)
"""Pre-activation ResNet-110 of basic blocks."""

preact_resnet164 = register.preset(preact_resnet, depth=164, block="bottleneck",
                                   num_parameters=1_703_258)
"""Pre-activation ResNet-164 as in the paper."""

preact_resnet164_hysts = register.preset(preact_resnet, depth=164, block="bottleneck",
                                         widths=(4, 32, 64), shortcut_input="groups_preactivated",
                                         num_parameters=1_619_290)
"""ResNet-preact-164 of hysts/pytorch_image_classification."""

preact_resnet1001 = register.preset(preact_resnet, depth=1001, block="bottleneck",
                                    num_parameters=10_327_706)
"""Pre-activation ResNet-1001 as in the paper."""

wrn16_4 = register.preset(wide_resnet, blocks_per_group=2, widen_factor=4,
                          defaults={"variant": "paper"}, num_parameters=2_748_890)
"""WRN-16-4."""

wrn16_8 = register.preset(wide_resnet, blocks_per_group=2, widen_factor=8,
                          defaults={"variant": "paper"}, num_parameters=10_961_370)
"""WRN-16-8."""

wrn40_2 = register.preset(wide_resnet, blocks_per_group=6, widen_factor=2,
                          defaults={"variant": "paper"}, num_parameters=2_243_546)
"""WRN-40-2."""

wrn40_4 = register.preset(wide_resnet, blocks_per_group=6, widen_factor=4,
                          defaults={"variant": "paper"}, num_parameters=8_949_210)
"""WRN-40-4."""

resnext29_4x64d = register.preset(resnext, depth=29, cardinality=4, base_width=64,
                                  num_parameters=17_562_442)
"""ResNeXt-29, 4x64d."""

resnext29_8x64d = register.preset(resnext, depth=29, cardinality=8, base_width=64,
                                  num_parameters=34_426_698)
"""ResNeXt-29, 8x64d."""

resnext29_16x64d = register.preset(resnext, depth=29, cardinality=16, base_width=64,
                                   num_parameters=68_155_210)
"""ResNeXt-29, 16x64d."""

resnext29_32x4d = register.preset(resnext, depth=29, cardinality=32, base_width=4,
                                  num_parameters=4_775_754)
"""ResNeXt-29, 32x4d."""

shake29_2x4x64d = register.preset(resnext, depth=29, cardinality=4, base_width=64,
                                  variant="shake_shake", num_parameters=34_437_450)
"""Shake-Shake-29 2x4x64d."""

densenet40_k12 = register.preset(densenet, depth=40, growth_rate=12, bottleneck=False,
                                 reduction=1.0, num_parameters=1_019_722)
"""DenseNet-40, k 12."""

densenet100_k12 = register.preset(densenet, depth=100, growth_rate=12,
                                  num_parameters=769_162)
"""DenseNet-BC-100, k 12."""

densenet190_k40 = register.preset(densenet, depth=190, growth_rate=40,
                                  num_parameters=25_624_430)
"""DenseNet-BC-190, k 40."""

densenet250_k24 = register.preset(densenet, depth=250, growth_rate=24,
                                  num_parameters=15_324_406)
"""DenseNet-BC-250, k 24."""

vgg11 = register.preset(vgg, depth=11, defaults={"width": 64},
                        num_parameters=9_228_362)
"""VGG-11 with norms."""

vgg13 = register.preset(vgg, depth=13, defaults={"width": 64},
                        num_parameters=9_413_066)
"""VGG-13 with norms."""

vgg15 = register.preset(vgg, depth=16, variant="hysts2017", defaults={"width": 64},
                        num_parameters=14_728_266)
"""VGG-15 of hysts/pytorch_image_classification."""

vgg16 = register.preset(vgg, depth=16, defaults={"width": 64},
                        num_parameters=14_724_042)
"""VGG-16 with norms."""

vgg19 = register.preset(vgg, depth=19, defaults={"width": 64},
                        num_parameters=20_035_018)
"""VGG-19 with norms."""

regnet_x_200mf = register.preset(regnet_x, widths=(24, 56, 152, 368), blocks=(1, 1, 4, 7),
                                 group_width=8, num_parameters=2_319_482)
"""RegNetX-200MF."""

regnet_x_400mf = register.preset(regnet_x, widths=(32, 64, 160, 400), blocks=(1, 2, 7, 12),
                                 group_width=16, num_parameters=5_097_898)
"""RegNetX-400MF."""

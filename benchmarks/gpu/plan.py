"""Which checks there are, in order of what they are worth: the first ones are always reached."""

from __future__ import annotations

from dataclasses import dataclass, replace

GLYPHS = ("run.dataset=@glyphs", "glyphs.train_images=640", "glyphs.test_images=100")
TINY = (*GLYPHS, "run.batch_size=32")
EAGER = ("run.compile=False",)
FLOAT64 = ("run.precision='float64'", *EAGER)
NARROW = ("run.architecture=@wide_resnet", "wide_resnet.widen_factor=1")
SHAKE = ("run.architecture=@shake_resnet", "shake_resnet.widen_factor=1")
AIRBENCH = ("run.architecture=@airbench", "airbench.widths=[8,16,16]")
PYRAMID = ("run.architecture=@pyramidnet", "pyramidnet.depth=29", "pyramidnet.alpha=20.0")
GROUP32 = "run.bn_group_size=32"
OURS = "run.kernels='fused'"
GRAPH = "run.cuda_graph=True"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One process of the check.

    Attributes:
        name: Name in the results.
        kind: Name of what is done, a key of ``child.KINDS``.
        limit: Seconds after which the process is killed.
        recipe: File name of the recipe that is trained, where only one is.
        sets: Settings ``NAME=VALUE`` on top of the recipe's.
        variants: Further ways to train it, as ``cifarzoo bench --policy`` takes them.
        cases: Names of the comparisons that are made; empty: all.
    """

    name: str
    kind: str
    limit: float
    recipe: str = ""
    sets: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    cases: tuple[str, ...] = ()


FULL = (
    Check(name="machine", kind="machine", limit=45),
    Check(name="agreement", kind="agreement", limit=110),
    Check(name="components", kind="components", limit=150),
    Check(
        name="speed airbench94",
        kind="speed",
        limit=60,
        recipe="airbench94.gin",
        sets=EAGER,
        variants=(GRAPH, OURS, f"{OURS}; {GRAPH}", "nchw", "compile"),
    ),
    Check(
        name="speed wrn26_10",
        kind="speed",
        limit=120,
        recipe="wrn26_10.gin",
        sets=EAGER,
        variants=(GRAPH, OURS, f"{OURS}; {GROUP32}", "nchw", "tf32", "float16", GROUP32, "compile"),
    ),
    Check(name="resume", kind="resume", limit=60, recipe="quickstart.gin", sets=TINY),
    Check(name="train airbench94", kind="train", limit=60, recipe="airbench94.gin", sets=EAGER),
    Check(
        name="speed wrn26_6_ss",
        kind="speed",
        limit=90,
        recipe="wrn26_6_ss.gin",
        sets=EAGER,
        variants=(GRAPH, OURS, GROUP32),
    ),
    Check(
        name="speed pyramid",
        kind="speed",
        limit=110,
        recipe="pyramid.gin",
        sets=("run.bn_group_size=256", *EAGER),
        variants=(GRAPH, GROUP32),
    ),
    Check(
        name="speed wrn26_2",
        kind="speed",
        limit=60,
        recipe="wrn26_2.gin",
        sets=EAGER,
        variants=(GRAPH, "compile"),
    ),
    Check(name="compiled pyramid", kind="speed", limit=240, recipe="pyramid.gin"),
)
# On a CPU in CI: every kind, on networks of a few layers.
SMALL = (
    Check(name="machine", kind="machine", limit=300),
    Check(
        name="agreement",
        kind="agreement",
        limit=300,
        cases=(
            "resnet8",
            "micro-batches",
            "mixup, label smoothing, averages",
            "kernels of ours in groups beside torch's",
        ),
    ),
    Check(name="components", kind="components", limit=300),
    Check(
        name="speed wrn26_2",
        kind="speed",
        limit=300,
        recipe="wrn26_2.gin",
        sets=(*TINY, *NARROW),
        variants=("nchw; run.bn_group_size=8",),
    ),
    Check(
        name="resume",
        kind="resume",
        limit=300,
        recipe="quickstart.gin",
        sets=TINY,
    ),
    Check(
        name="train quickstart",
        kind="train",
        limit=300,
        recipe="quickstart.gin",
        sets=(*TINY, "run.epochs=1"),
    ),
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """Two trainings that must end with the same weights, but for rounding.

    Attributes:
        name: Name in the results.
        sets: Settings of both, on top of quickstart's and of ``TINY``.
        first: Settings of the first, which is trained on the CPU if ``is_on_cpu``.
        second: Settings of the second, which is trained on the default device.
        is_on_cpu: Whether the first is trained on the CPU.
        tolerance: Largest difference, as a share of the largest number of a tensor.
    """

    name: str
    sets: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    second: tuple[str, ...] = ()
    is_on_cpu: bool = True
    tolerance: float = 1e-9


def _augmented(*names: str) -> tuple[str, ...]:
    return (f"run.augmentations=[{', '.join('@' + name for name in names)}]",)


def _regularized(*names: str) -> tuple[str, ...]:
    return (f"run.regularizers=[{', '.join('@' + name for name in names)}]",)


_COMPUTED_IN_FLOAT64 = (
    Case(name="resnet8"),
    Case(
        name="micro-batches",
        sets=("run.bn_group_size=8",),
        second=("run.micro_batch_size=8",),
        is_on_cpu=False,
    ),
    Case(
        name="mixup, label smoothing, averages",
        sets=_regularized("mixup", "label_smoothing", "ema"),
    ),
    Case(name="wide_resnet", sets=NARROW),
    Case(name="shake_shake", sets=(*SHAKE, *_regularized("shake_shake"))),
    Case(name="shake_drop", sets=(*PYRAMID, *_regularized("shake_drop"))),
    Case(name="stochastic_depth", sets=_regularized("stochastic_depth")),
    Case(name="lookahead", sets=_regularized("lookahead")),
    Case(name="airbench", sets=AIRBENCH),
    Case(name="muon", sets=("run.optimizer=@muon",)),
    Case(name="adamw", sets=("run.optimizer=@adamw",)),
    *(
        Case(name=name, sets=_augmented(name, "pad_crop", "flip", "cutout", "normalize"))
        for name in ("auto_augment", "rand_augment", "trivial_augment_wide", "alternating_flip")
    ),
)
CASES = (
    *(replace(case, sets=(*FLOAT64, *case.sets)) for case in _COMPUTED_IN_FLOAT64),
    *(
        Case(
            name=f"captured steps of {name} beside others",
            sets=(*FLOAT64, *sets),
            second=(GRAPH,),
            is_on_cpu=False,
        )
        for name, sets in (
            ("resnet8", ()),
            ("shake_drop", (*PYRAMID, *_regularized("shake_drop"))),
            ("airbench", AIRBENCH),
            ("muon", ("run.optimizer=@muon",)),
            ("wide_resnet with dropout", (*NARROW, "wide_resnet.dropout_rate=0.3")),
        )
    ),
    Case(
        name="float32 beside float64",
        first=FLOAT64,
        second=("run.precision='float32'", *EAGER),
        tolerance=0.1,
    ),
    Case(
        name="bfloat16 beside float64",
        first=FLOAT64,
        second=("run.precision='bfloat16'", *EAGER),
        tolerance=0.5,
    ),
    *(
        Case(
            name=f"kernels of ours{how} beside torch's",
            sets=("run.precision='float32'", *EAGER, *sets),
            first=("run.kernels='torch'",),
            second=(OURS,),
            is_on_cpu=False,
            tolerance=0.1,
        )
        for how, sets in ((" in groups", ("run.bn_group_size=8",)), (" in airbench", AIRBENCH))
    ),
    Case(  # whose masks are the same on both
        name="kernels of ours with dropout beside a CPU",
        sets=("run.precision='float32'", *EAGER, *NARROW, "wide_resnet.dropout_rate=0.3", OURS),
        tolerance=0.1,
    ),
    Case(
        name="compiled beside eager",
        sets=("run.precision='float32'",),
        first=EAGER,
        second=("run.compile=True",),
        is_on_cpu=False,
        tolerance=0.1,
    ),
)

"""The precision policy: which arithmetic a device is best at, and what was chosen.

Nothing here was measured on a GPU; the CPU's choices were (docs in ARCHITECTURE.md).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.utils.deterministic
from torch import Tensor, nn

from cifarzoo.components.run import Run
from cifarzoo.engine.assembly.step_form import StepForm, take_step
from cifarzoo.engine.device.kernels import TORCH, Kernels, choose_kernels
from cifarzoo.engine.device.uncompiled import (
    optimizers_uncompiled,
    set_deterministic_algorithms,
)
from cifarzoo.errors import ConfigError

WARNS, ERRS = 1, 2  # torch's debug modes of determinism
DTYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "tf32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What was chosen; printed and recorded.

    Attributes:
        name: float64, float32, tf32, bfloat16 or float16.
        channels_last: Whether networks and images are stored (N, H, W, C).
        compile: Whether ``torch.compile`` is used.
        deterministic: Whether only deterministic kernels are used.
        threads: Threads of this process on the CPU.
        kernels: Kernels of the layers.
        delay: Steps after which a step's loss is read: at once would make a GPU wait.
        captured: Whether steps are captured as CUDA graphs, as far as they can be.
    """

    name: str
    channels_last: bool
    compile: bool
    deterministic: bool
    threads: int
    kernels: Kernels = TORCH
    delay: int = 0
    captured: bool = False

    @property
    def weights(self) -> torch.dtype:
        """Of weights, gradients and losses; half precision is for passes alone."""
        return torch.float64 if self.name == "float64" else torch.float32

    @property
    def products(self) -> torch.dtype:
        """Of products of matrices in an optimizer's step, whose small values float16 would lose."""
        return torch.bfloat16 if self.name == "bfloat16" else self.weights

    @property
    def scales_losses(self) -> bool:
        """Whether losses are scaled, and steps skipped whose gradient overflows."""
        return self.name == "float16"

    def record(self) -> dict[str, Any]:
        """For run.json."""
        return asdict(self)

    def __str__(self) -> str:
        parts = [
            self.name,
            "channels_last" * self.channels_last,
            "compiled" * self.compile,
            "deterministic" * self.deterministic,
            "captured" * self.captured,
        ]
        return ", ".join(filter(None, parts))


def choose(run: Run, device: torch.device) -> Policy:
    """The policy of ``run`` on ``device``.

    Raises:
        ConfigError: A precision or kernels that the device does not have.
    """
    on_gpu = device.type == "cuda"
    name = _best(device) if run.precision == "auto" else run.precision
    if name in ("float16", "tf32") and not on_gpu:
        raise ConfigError(
            f"is {name!r}, which needs a GPU; expected 'auto', 'float32' or 'bfloat16'",
            parameter="precision",
        )
    return Policy(
        name=name,
        channels_last=run.channels_last,
        compile=run.compile,
        deterministic=(not on_gpu) if run.deterministic is None else run.deterministic,
        threads=torch.get_num_threads(),
        kernels=choose_kernels(run, device, name),
        delay=1 if on_gpu else 0,
        captured=run.cuda_graph and on_gpu,
    )


def _best(device: torch.device) -> str:
    if device.type == "cuda":
        ampere = torch.cuda.get_device_capability(device) >= (8, 0)
        return "bfloat16" if ampere else "float16"
    return "bfloat16" if has_fast_bfloat16(_capabilities()) else "float32"


def has_fast_bfloat16(capabilities: Mapping[str, Any]) -> bool:
    """Whether a CPU computes in bfloat16 faster than in float32.

    With AMX it does. AVX-512's instruction for it is twice as fast as float32's on AMD's
    processors (whole training steps 1.3 to 2.1 times), and a third slower on Intel's.

    Args:
        capabilities: Capabilities of the CPU, as ``torch.cpu.get_capabilities`` gives them.
    """
    is_amd = str(capabilities.get("cpu_name", "")).startswith("AMD")
    has_amx = bool(capabilities.get("amx_bf16"))
    return has_amx or (is_amd and bool(capabilities.get("avx512_bf16")))


def _capabilities() -> Mapping[str, Any]:
    capabilities: Mapping[str, Any] = torch.cpu.get_capabilities()
    return capabilities


@contextmanager
def numerics(policy: Policy, *, strict: bool) -> Iterator[None]:
    """Within ``with``, torch's global switches are as ``policy`` says.

    Args:
        policy: Arithmetic that was chosen.
        strict: Whether an operation without a deterministic kernel is an error, as a user
            who asked for determinism expects, or a warning.
    """
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    deterministic: Any = torch.utils.deterministic  # its setting is a property of the module
    before = (
        torch.get_deterministic_debug_mode(),
        deterministic.fill_uninitialized_memory,
        matmul.allow_tf32,
        cudnn.allow_tf32,
        cudnn.benchmark,
    )
    if policy.deterministic:  # cuBLAS reads it when it is first used, and refuses without it
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    debug_mode = (ERRS if strict else WARNS) if policy.deterministic else 0
    set_deterministic_algorithms(debug_mode, compiles=policy.compile)
    deterministic.fill_uninitialized_memory = False  # costs 15 % a step, proves nothing
    matmul.allow_tf32 = cudnn.allow_tf32 = policy.name != "float32"
    cudnn.benchmark = not policy.deterministic
    try:
        with nullcontext() if policy.compile else optimizers_uncompiled():
            yield
    finally:
        set_deterministic_algorithms(before[0], compiles=policy.compile)
        deterministic.fill_uninitialized_memory = before[1]
        matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark = before[2:]


class Scaler:
    """Runs the two passes and the update in the policy's arithmetic.

    float16 needs its loss scaled and skips steps whose gradient overflows; the others don't,
    and the scaler does nothing.

    Attributes:
        wide: Type of weights and losses.
    """

    def __init__(self, policy: Policy, device: torch.device) -> None:
        self._device = device
        self.wide = policy.weights
        self._dtype = DTYPES[policy.name]
        self._channels_last = policy.channels_last
        self._scaler = torch.amp.GradScaler(device.type, enabled=policy.scales_losses)

    def forward(self, network: nn.Module, images: Tensor) -> Tensor:
        """Logits (n, K) of images float32 (n, C, H, W); in the weights' type, as losses need it."""
        with self.arithmetic():
            logits: Tensor = network(self.cast(images))
        return logits.to(self.wide)

    def cast(self, images: Tensor) -> Tensor:
        """Images as networks take them: in the weights' type, and in the run's memory format."""
        images = images.to(self.wide)
        return images if self._channels_last else images.contiguous()

    def arithmetic(self) -> torch.autocast:
        """Within ``with``, forward passes are in the policy's arithmetic."""
        is_half = self._dtype.itemsize < self.wide.itemsize
        return torch.autocast(self._device.type, dtype=self._dtype, enabled=is_half)

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of ``loss`` to the parameters'."""
        scaled: Tensor = self._scaler.scale(loss)
        torch.autograd.backward(scaled)

    def unscale(self, optimizer: Any) -> None:
        """Bring gradients back to their own scale, before they are looked at or clipped."""
        if self._scaler.is_enabled():
            self._scaler.unscale_(optimizer)

    def step(
        self, optimizer: Any, closure: Callable[[], Tensor], form: StepForm = "closure"
    ) -> None:
        """One update; ``closure`` computes the gradient and may be called more than once."""
        if not self._scaler.is_enabled():
            take_step(optimizer, closure, form)
            return
        closure()
        state: dict[Any, Any] = getattr(optimizer, "state", {})
        is_first = not state
        scale = self._scaler.get_scale() if is_first else 0.0  # read seldom: a GPU must wait
        self._scaler.step(optimizer)
        self._scaler.update()
        if is_first and self._scaler.get_scale() < scale:
            # torch's fused SGD makes its momenta in a step that it then skips, and leaves in
            # them whatever the memory held.
            state.clear()

    def state_dict(self) -> dict[str, Any]:
        """The loss scale and its history; empty where nothing is scaled."""
        state: dict[str, Any] = self._scaler.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from ``state``; what another precision saved is empty, and starts anew."""
        if self._scaler.is_enabled() and state:
            self._scaler.load_state_dict(state)

"""cifarzoo: experiments on CIFAR-class image classification, described by .gin files.

The public names are loaded when they are used, so that importing the package costs no torch.
"""

TYPE_CHECKING = False  # and nothing is imported: ``python -m`` looks into the current folder first
if TYPE_CHECKING:
    from typing import Any

    from cifarzoo import errors, protocols, testing
    from cifarzoo.api.creation import create, create_model
    from cifarzoo.api.loaded_run import evaluate, load_run
    from cifarzoo.api.own_loop import draws, lambda_lr
    from cifarzoo.api.training import resume, train
    from cifarzoo.components.registry import register
    from cifarzoo.results.comparing.comparison import compare
    from cifarzoo.results.run_list import runs
    from cifarzoo.sweeps.swept import sweep

    __version__: str

__all__ = [
    "__version__",
    "compare",
    "create",
    "create_model",
    "draws",
    "errors",
    "evaluate",
    "lambda_lr",
    "load_run",
    "protocols",
    "register",
    "resume",
    "runs",
    "sweep",
    "testing",
    "train",
]

_MODULE_OF = {
    "compare": "results.comparing.comparison",
    "create": "api.creation",
    "create_model": "api.creation",
    "draws": "api.own_loop",
    "errors": "errors",
    "evaluate": "api.loaded_run",
    "lambda_lr": "api.own_loop",
    "load_run": "api.loaded_run",
    "protocols": "protocols",
    "register": "components.registry",
    "resume": "api.training",
    "runs": "results.run_list",
    "sweep": "sweeps.swept",
    "testing": "testing",
    "train": "api.training",
}


def __getattr__(name: str) -> "Any":
    if name == "__version__":
        return _version()
    if name not in _MODULE_OF:
        from cifarzoo.components.spelling import near

        close = near(name, __all__) if not name.startswith("_") else ""
        raise AttributeError(f"module 'cifarzoo' has no attribute {name!r}{close}")
    from importlib import import_module

    module = import_module(f"cifarzoo.{_MODULE_OF[name]}")
    return module if name == _MODULE_OF[name] else getattr(module, name)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("cifarzoo")
    except PackageNotFoundError:  # a checkout that was never installed
        return "0+unknown"


def __dir__() -> list[str]:
    return list(__all__)

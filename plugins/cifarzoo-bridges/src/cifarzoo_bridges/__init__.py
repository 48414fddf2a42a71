"""Networks of torchvision, timm and pytorchcv, as architectures of cifarzoo."""

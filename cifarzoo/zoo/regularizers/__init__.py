"""Regularizers: inside residual blocks, on the batch, the loss or the weights."""

"""Fused operations: Triton kernels on CUDA, and the PyTorch reference of the same algorithm."""

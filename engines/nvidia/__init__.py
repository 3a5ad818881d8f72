"""Engines for NVIDIA GPUs: TensorRT, TensorRT-RTX and Torch-TensorRT."""

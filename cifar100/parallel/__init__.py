"""Several processes and GPUs, and the step as a CUDA graph."""

"""Explaining a network: Grad-CAM, receptive fields and the gradients of its layers."""

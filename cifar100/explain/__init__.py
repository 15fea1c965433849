"""Why a network answers so: Grad-CAM, receptive fields, and how gradients reach its layers."""

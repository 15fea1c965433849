"""One recipe, from its first step to its last."""

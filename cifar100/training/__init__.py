"""One recipe from its first step to its last; several of them in turn; what a machine can do."""

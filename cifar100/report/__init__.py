"""The pages that are generated from runs."""

"""The pages that are rendered from runs."""

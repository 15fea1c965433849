"""Exploratory data analysis: what the images look like before any network sees them, and after augmentation."""

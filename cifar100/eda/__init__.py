"""Exploratory data analysis: the images before training and after augmentation."""

"""Measuring how good a network is."""

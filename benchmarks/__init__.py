"""Measurements of speed and size: each room has one question, and gives a dict that JSON can keep."""

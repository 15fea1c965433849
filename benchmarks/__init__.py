"""The speed of this project compared with a baseline."""

"""The page that answers for an image, and the Space."""

"""The page that answers for a picture, and the Space."""

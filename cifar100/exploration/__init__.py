"""What the data and an augmentation look like."""

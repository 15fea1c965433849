"""What a Run All needs."""

"""Why it answers what it answers."""

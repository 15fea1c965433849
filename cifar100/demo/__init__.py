"""The demo page, and its export as a Hugging Face Space."""

"""Predictions on held-out images, and what they say."""

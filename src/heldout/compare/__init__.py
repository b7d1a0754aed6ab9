"""Whether one model, or one recipe, is better than another on the same held-out images."""

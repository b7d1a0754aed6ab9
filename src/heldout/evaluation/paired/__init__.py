"""Comparisons on the same images: of two models, and of one with and without a part of what it sees."""

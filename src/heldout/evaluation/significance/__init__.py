"""Statistical tests: of two models on the same images, and of slices against the rest."""

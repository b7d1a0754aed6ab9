"""Hyperparameter and architecture search on train and val alone, reproducible to the byte."""

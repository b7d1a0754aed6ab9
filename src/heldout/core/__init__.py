"""What every room stands on: whole files, params, processes, and the digest of a stage's code."""

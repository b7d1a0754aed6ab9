"""The files to ship, and predictions from them alone."""

"""The library that the stages compose."""

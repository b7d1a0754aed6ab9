"""The pictures that a reviewer looks at, a module each: the same figures give the same bytes."""

"""A comparison as text, Markdown, JSON and a page: the same sections, told in each."""

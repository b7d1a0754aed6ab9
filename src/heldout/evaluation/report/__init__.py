"""The page that one would forward: report/index.html, from what the other stages wrote."""

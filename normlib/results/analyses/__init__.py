"""The analyses of a study, one a file: each a pure function of a `Study` with its figures, and `sheets` with the words.

Import what you need from the file that holds it; this package loads nothing by itself.
"""

"""The analyses of a study, one a file: `analyse` has the figures, `sheets` the words; `sheets.py` gathers them.

Import what you need from the file that holds it; this package loads nothing by itself.
"""

"""What runs leave behind and what is made of it: records, store, statistics, tables, figures, report. Never torch.

Import what you need from the module that holds it; this package loads nothing by itself, so that reading a record
stays cheap.
"""

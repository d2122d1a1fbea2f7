"""Changes the norms of a model that exists.

`convert` replaces them, `to_torch` gives them back to torch.nn, `fold` folds them into the layers ahead. They can also
be frozen. Each leaves a report.
"""

"""Bringing a model that exists: its norms replaced (`convert`), or folded into the layers ahead (`fold`), with a report of each."""

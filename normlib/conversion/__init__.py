"""Bringing a model that exists: its norms replaced (`convert`), given back to torch.nn (`to_torch`), folded into the layers ahead (`fold`) or frozen, with a report of each."""

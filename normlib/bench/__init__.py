"""What norms cost: each timed in turns with torch.nn's layer, timm's, a compiled formula and a copy of the same bytes."""

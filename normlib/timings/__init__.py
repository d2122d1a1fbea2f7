"""What norms cost, for the verb `bench`: each timed in turns with torch.nn's layer, timm's, a compiled formula and a copy of the same bytes."""

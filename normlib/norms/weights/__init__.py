"""The methods on weights: one a file."""

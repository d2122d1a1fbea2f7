"""Figures: what they show, and how files and the page draw it."""

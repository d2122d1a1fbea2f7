"""Records on disk: one file a run, read back as one frame."""

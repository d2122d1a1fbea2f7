"""Records on disk: one file per run, read back as one frame."""

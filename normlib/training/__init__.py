"""One run, from spec to record. The only folder that uses Lightning."""

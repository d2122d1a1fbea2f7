"""One run from spec to record: seeds, identity, the Lightning module. The only room that knows Lightning."""

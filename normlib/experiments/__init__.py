"""From overrides to runs, and through them: configuration, the plan, the executor."""

"""What the runs are and what is asked of them: conditions, arms, pairs, views."""

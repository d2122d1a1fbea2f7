"""Numbers that were made elsewhere: tables of runs that carry no record and no hash, compared and reported all the same."""

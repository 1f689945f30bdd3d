"""The results store: every measurement and evaluation, with every sample, in SQLite or another SQL database."""

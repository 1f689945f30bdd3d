"""Choosing among measured candidates, and comparing runs: pure functions over records."""

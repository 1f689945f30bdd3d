"""Choosing among measured candidates: pure functions over records, and a question to the store."""

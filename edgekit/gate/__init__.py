"""The gate for CI: a model against its budget and against a stored baseline, re-measured side by side."""

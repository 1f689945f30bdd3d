"""From legalised operators to kernel steps: one module per group of operators, found through table.py."""

"""Merge two accounts of one customer, and undo a merge within 30 days."""

"""Verify User IDs: the most frequent request of services and support tools."""

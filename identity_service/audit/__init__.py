"""Audit: signed checkpoints, the check that no event was altered, and recovery after a restore."""

"""Deliver messages to relays: queue, SMTP conversation, retries, circuit breakers and expired leases."""

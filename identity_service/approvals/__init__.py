"""Guarded changes: a desk requests them; the customer's mailbox, or a second person and 72 hours, complete them."""

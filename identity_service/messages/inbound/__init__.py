"""Feedback about sent messages: delivery status notifications, provider webhooks, the bounce server."""

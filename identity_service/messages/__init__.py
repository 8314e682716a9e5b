"""Messages: the outbox. A message is a row, written in the transaction of the change it reports, so none is lost.

message   one row: facts, no rendered text and no secrets; its state claims only what is certain
attempt   one conversation with one relay about it, every reply stored
feedback  what came back later: delivered, delayed, bounced

A worker leases a message under a token, talks SMTP with no transaction open, and records the result under that token.
If a worker crashes, its lease expires and another worker takes the message. `accepted` means that a relay took it,
never that it was delivered. If a relay never answered, the outcome is recorded as unknown and the message is sent
again with the same link, so it may arrive twice.
"""

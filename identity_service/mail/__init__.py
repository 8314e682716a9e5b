"""Mail: the outbox. A letter is a row, written in the transaction of the thing it tells about, and nothing is lost.

message   one letter: facts, no words and no secrets; its state says what is certain, and no more
attempt   one conversation with one relay about it, every reply kept
feedback  what came back later: delivered, delayed, bounced

A worker leases a message with a token, talks SMTP with no transaction open, and records under that token; a worker
that dies loses its lease, not the letter. `accepted` means a relay took it; it never means delivered. What nobody can
know ("the relay never answered") is a recorded outcome: the letter goes again, with the same link, and may arrive
twice.
"""

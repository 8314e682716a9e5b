"""What `make run` and the tests bring along: a real PostgreSQL from a Python wheel, and a mailbox that catches mail.

An extra (`[embedded]`), never in the production image, and never imported by a process that has a DATABASE_URL.
"""

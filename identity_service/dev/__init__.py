"""For `make run` and the tests: a real PostgreSQL from a Python wheel, a mailbox that catches email, previews of
emails, and the design system.

Needs the extra `[embedded]`, which is not in the production image; a process with a DATABASE_URL never imports it.
"""

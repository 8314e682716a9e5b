"""Feedback about sent messages: provider webhooks, and returned mail over SMTP or by a webhook.

Returned mail is read by files named after what they read: `mail_parts` (MIME), `delivery_status` (fields of a report),
`worded_notices` (notices in words), `complaints`, `automatic_replies`, `return_addresses` (our tag). `verdicts` decides
what a failure says about the mailbox; `dsn` puts it together, and `reader_process` runs it in a process of its own.
`feedback` stores the result and applies it to the message.
"""

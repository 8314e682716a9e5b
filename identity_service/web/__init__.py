"""HTTP: strict routes, forms, pages, errors, rate limits, idempotency, pagination, middleware and the server."""

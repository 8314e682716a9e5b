"""The database: engine, transactions (the only place that commits), column types, failures, the read pool."""

"""State in PostgreSQL, one schema and role per service: pool, migrations, outbox, inbox."""

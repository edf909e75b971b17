"""Databases: connections, transactions and migrations. The only room besides stores that knows SQLAlchemy."""

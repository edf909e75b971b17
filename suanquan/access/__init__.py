"""Who may do what: roles, the one table of rights, and who somebody is; nothing here reads a clock, a file or a database."""

"""suanquan runs it: settings, database, HTTP service, portal, jobs, metrics and the command line."""

__version__ = "0.1.0"

"""What the service does, step by step: each use case is one transaction over the packages below."""

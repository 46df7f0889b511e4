"""Health checks: what keepalived's checker process does, and what follows from its results."""

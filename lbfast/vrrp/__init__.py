"""VRRP versions 2 and 3 as keepalived speaks them: sans-IO core, thin service (spec 4)."""

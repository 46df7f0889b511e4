"""What `lbfast realserver` is made of: what it noted, what it changes, how it unwraps tunnels."""

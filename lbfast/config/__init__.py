"""keepalived.conf: its language, what it means here, and what differs between two of them."""

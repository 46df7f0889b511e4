"""The keywords of keepalived.conf, a table for each kind of block (spec/keepalived.md 2)."""

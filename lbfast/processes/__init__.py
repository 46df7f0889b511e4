"""The director as keepalived runs it: a parent and the processes that it watches."""

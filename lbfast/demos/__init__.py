"""What `lbfast demo` is made of: the scene, the traffic through it, the picture of it."""

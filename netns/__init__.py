"""Networks in namespaces: described (topo), made real (build), one module for each topology."""

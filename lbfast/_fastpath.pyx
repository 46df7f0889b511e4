"""The data path of lbfast."""

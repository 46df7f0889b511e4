"""From blocks as they were written to the model: defaults, inheritance and consistency."""

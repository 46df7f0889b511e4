"""One module for each work: `NAME`, `SECONDS` and `QUICK_SECONDS` (its share of the whole), and
`run(plan)`, which yields rows.  A module without NAME is shared by works."""

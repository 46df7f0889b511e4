"""How the rest of the world hears of events: programs, FIFOs and mail (spec 3.11, 5.3)."""

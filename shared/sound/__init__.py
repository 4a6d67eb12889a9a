"""Speech at a few kbit/s: Opus, and the gate that leaves silence out."""

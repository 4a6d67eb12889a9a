"""Speech at a few kbit/s: Opus, the gate that leaves silence out, and the devices, whose echo is taken out."""

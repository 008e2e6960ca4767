"""The pure core: what a stream means. Nothing here awaits, reads a clock, draws a random number, opens a file or logs."""

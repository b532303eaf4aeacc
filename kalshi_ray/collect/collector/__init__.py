"""The collector at work: sockets, clocks, threads and Ray around what `collect` decides."""

"""Recording sessions from the exchange: frames to rows, rows to a spool that survives crashes, the spool to a store."""

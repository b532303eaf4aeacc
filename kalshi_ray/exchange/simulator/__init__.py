"""An exchange of our own: matching, accounts, life cycle, and the surface of protocol.md around them."""

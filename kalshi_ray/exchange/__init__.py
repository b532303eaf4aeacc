"""Kalshi as one trades on it: feed, requests, throttle, client, and an exchange of our own to test against."""

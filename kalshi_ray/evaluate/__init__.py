"""Judging policies: whole views, full cost, beside baselines, with intervals by event and gates."""

"""Sessions: their schema and store, import, synthesis, validation, analysis, and the views that training reads."""

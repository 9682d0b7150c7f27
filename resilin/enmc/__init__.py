"""What ties ENMC's hardware, models and programs together."""

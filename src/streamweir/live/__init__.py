"""What streams share while they live."""

"""What is written at places that are known only when it runs."""

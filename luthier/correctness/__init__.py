"""What is right, and how close to it an output must be."""

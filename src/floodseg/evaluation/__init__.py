"""What is made of trained models: shipped weights and the names they go by."""

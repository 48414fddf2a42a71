"""What a Python program calls: train, resume, test, take apart a run, make components."""

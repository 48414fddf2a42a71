"""Many runs at once: which they are, training them, and what they come to."""

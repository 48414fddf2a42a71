"""ConvMixer networks and random grayscale, as components of cifarzoo."""

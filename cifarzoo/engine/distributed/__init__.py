"""Several ranks: launching, rendezvous, the exchange of each step, heartbeats."""

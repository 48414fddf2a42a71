"""Several ranks: how they start, meet, agree in each step and notice a loss."""

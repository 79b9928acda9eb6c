"""The best linear head on fixed features: penalised regression, solved and not trained."""

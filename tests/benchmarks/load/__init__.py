"""What the benchmarks of the serving process stand on: clients, servers as processes, models in a store."""

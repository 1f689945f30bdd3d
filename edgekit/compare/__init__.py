"""What changed between two runs: who pairs with whom, by how much, and how sure that is."""

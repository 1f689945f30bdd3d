"""What makes a bundle one thing: its manifest, its signature and the keys for that; writing and verifying it."""

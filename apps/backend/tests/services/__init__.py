"""Third parties as processes of the tests' own."""

"""Credit risk: the whole lifecycle on 28,638 loans."""

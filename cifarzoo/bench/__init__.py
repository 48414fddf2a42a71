"""How fast a recipe is on this machine, under chosen policies, beside what the machine can do."""

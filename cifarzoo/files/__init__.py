"""Reading and writing where others write too: nothing is followed elsewhere, nothing waited for."""

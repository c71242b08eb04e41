"""`redoxscope bench`: the speed of every stage, beside that of a plain pass over the memory and of peers."""

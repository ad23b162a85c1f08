"""V1's database: its tables read as they are, and a generator of a realistic one."""
